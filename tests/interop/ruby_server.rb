# Runs the interop server that Debian's ruby-grpc ships, on a free port of 127.0.0.1 only; prints "ready PORT".
require 'grpc'

module OnLoopback
  def add_http2_port(_address, credentials)
    port = super('127.0.0.1:0', credentials)
    $stdout.puts("ready #{port}")
    $stdout.flush
    port
  end
end
GRPC::RpcServer.prepend(OnLoopback)
ARGV.unshift('--port=0')
load File.join(Gem::Specification.find_by_name('grpc').gem_dir, 'src/ruby/pb/test/server.rb')
