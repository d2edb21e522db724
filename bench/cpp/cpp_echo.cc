// bench_cpp_echo: the echo of bench_crpc_echo through gRPC C++'s callback API, client and server, as its documentation
// shows it. C++ because there is no other way to measure what crpc is compared with. Callbacks run on the library's own
// threads. Processes, rounds and options are those of raw_echo.c.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "bench_echo.grpc.pb.h"

extern "C" {
#include "raw_echo.h"
}

namespace {

using bench::v1::EchoRequest;
using bench::v1::EchoResponse;
using bench::v1::EchoService;

class Service final : public EchoService::CallbackService {
    grpc::ServerUnaryReactor *Echo(grpc::CallbackServerContext *context, const EchoRequest *request,
                                   EchoResponse *response) override
    {
        response->set_payload(request->payload());
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

void serve(const char *address, int ready_fd)
{
    Service service;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (!server || write(ready_fd, &port, sizeof port) != sizeof port)
        _exit(1);
    server->Wait();
}

struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    EchoResponse response;
};

struct Client {
    std::unique_ptr<EchoService::Stub> stub;
    EchoRequest request;
    std::atomic<unsigned long> n{0};

    void Start(Call *call)
    {
        call->context = std::make_unique<grpc::ClientContext>();
        stub->async()->Echo(call->context.get(), &request, &call->response, [this, call](const grpc::Status &status) {
            if (!status.ok() || call->response.payload().size() != request.payload().size())
                _exit(1);
            n.fetch_add(1, std::memory_order_relaxed);
            Start(call);
        });
    }
};

double measure(const struct echo_options *o, const char *target)
{
    // Never destroyed: calls are under way until the process ends, which is right after this.
    Client &client = *new Client;
    client.stub = EchoService::NewStub(grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
    client.request.set_payload(std::string(o->payload_bytes, 'x'));
    for (unsigned i = 0; i < o->in_flight; i++)
        client.Start(new Call);
    using clock = std::chrono::steady_clock;
    std::this_thread::sleep_for(std::chrono::duration<double>(o->seconds * ECHO_WARM_UP));
    unsigned long warm = client.n;
    clock::time_point from = clock::now();
    std::this_thread::sleep_for(std::chrono::duration<double>(o->seconds));
    double rate = (double)(client.n - warm) / std::chrono::duration<double>(clock::now() - from).count();
    return rate;
}

double median(std::vector<double> v)
{
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

} // namespace

int main(int argc, char **argv)
{
    struct echo_options o;
    int rounds = 3;
    echo_options_parse(&o, &rounds, argc, argv);
    std::vector<double> rate, cpu_us;
    for (int i = 0; i < std::max(rounds, 1); i++) {
        struct echo_server s;
        echo_server_start(&s, &o, serve);
        rate.push_back(echo_in_child(measure, &o, s.target));
        echo_server_stop(&s);
        cpu_us.push_back(echo_cpu_take() * 1e6 / (rate.back() * o.seconds * (1 + ECHO_WARM_UP)));
    }
    std::printf("figure cpp_echo_%u %.0f calls/s\n", o.in_flight, median(rate));
    std::printf("figure cpp_echo_cpu_%u %.2f us/call\n", o.in_flight, median(cpu_us));
    return 0;
}
