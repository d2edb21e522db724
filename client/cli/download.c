/* Downloading the file of an export, with a live bar. The main thread downloads; the meter's thread only looks how far
 * it has come, and that of download_watch.h how far the export is. */
#include "download.h"

#include "download_watch.h"
#include "heap.h"
#include "meter.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The size that the file has now: what joblog_export_save has written so far. */
static int64_t part_size(void *user)
{
    struct stat st;
    return stat(user, &st) == 0 ? st.st_size : 0;
}

static bool runs(const struct joblog_export *export_)
{
    return !joblog_status_is_final(export_->job.status);
}

/* What an interrupt leaves, and what to type to go on. path: NULL for a stream. */
static void say_farewell(struct meter *meter, const struct joblog_export *export_, const char *path, bool follow)
{
    char *text = NULL;
    if (follow && runs(export_))
        text = heap_format("export %lld goes on: joblog export download %lld --follow%s%s", (long long)export_->job.id,
                           (long long)export_->job.id, path ? " --output " : "", path ? path : "");
    else if (path)
        text =
            heap_format("joblog export download %lld --output %s goes on from here", (long long)export_->job.id, path);
    if (text)
        meter_set_farewell(meter, text);
    free(text);
}

int download_to_file(struct joblog_client *client, int64_t id, const char *path, bool follow, const struct term *term,
                     struct joblog_export **ret_export, struct joblog_error *error)
{
    struct joblog_export *export_ = NULL, *saved = NULL;
    int rc = joblog_export_get(client, id, &export_, error);
    if (rc < 0)
        return rc;
    char *part = heap_format("%s.part", path);
    const char *slash = strrchr(path, '/');
    struct meter *meter = meter_new(term, slash ? slash + 1 : path, export_->size, part_size, part);
    say_farewell(meter, export_, path, follow);
    struct download_watch *watch = follow && term->terminal ? download_watch_start(client, export_, meter) : NULL;
    rc = follow ? joblog_export_save_following(client, id, path, &saved, error)
                : joblog_export_save(client, id, path, &saved, error);
    download_watch_stop(watch);
    meter_finish(meter, saved ? saved->size : export_->size, rc < 0);
    joblog_export_free(export_);
    free(part);
    if (rc >= 0 && ret_export)
        *ret_export = saved;
    else
        joblog_export_free(saved);
    return rc;
}

enum { AT_ONCE = 65536 /* bytes: what a pipe holds, so that a slow one shows as one that moves */ };

struct stream {
    FILE *out;
    _Atomic int64_t done;
    int error;
};

static int64_t stream_done(void *user)
{
    struct stream *stream = user;
    return atomic_load(&stream->done);
}

static int stream_write(void *user, const void *data, size_t len, int64_t offset, int64_t total)
{
    struct stream *stream = user;
    (void)total;
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done < AT_ONCE ? len - done : AT_ONCE;
        if (fwrite((const char *)data + done, 1, n, stream->out) != n) {
            stream->error = errno;
            return -1;
        }
        atomic_store(&stream->done, offset + (int64_t)(done + n));
    }
    return 0;
}

/* A reader that goes away is an error of the write while the bar is there: it must not be left in the middle of its
 * line. */
static void hold_broken_pipe(struct sigaction *ret_before)
{
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignored, ret_before);
}

/* Ends the program as such a reader does, unless it was told not to mind. */
static void release_broken_pipe(const struct sigaction *before, int error)
{
    sigaction(SIGPIPE, before, NULL);
    if (error == EPIPE && before->sa_handler == SIG_DFL)
        raise(SIGPIPE);
}

int download_to_stream(struct joblog_client *client, int64_t id, FILE *out, bool follow, const struct term *term,
                       struct joblog_export **ret_export, struct joblog_error *error)
{
    struct stream stream = {.out = out};
    struct joblog_export *export_ = NULL;
    int rc = joblog_export_get(client, id, &export_, error);
    if (rc < 0)
        return rc;
    const char *title = export_->has_file ? export_->file_name : "export";
    struct sigaction pipe_before;
    hold_broken_pipe(&pipe_before);
    struct meter *meter = meter_new(term, title, export_->size, stream_done, &stream);
    say_farewell(meter, export_, NULL, follow);
    struct download_watch *watch = follow && term->terminal ? download_watch_start(client, export_, meter) : NULL;
    rc = follow ? joblog_export_follow(client, id, stream_write, &stream, ret_export, error)
                : joblog_export_download(client, id, 0, stream_write, &stream, ret_export, error);
    if (rc >= 0 && fflush(out) != 0)
        stream.error = errno;
    download_watch_stop(watch);
    meter_finish(meter, atomic_load(&stream.done), rc < 0 || stream.error);
    release_broken_pipe(&pipe_before, stream.error);
    joblog_export_free(export_);
    if (stream.error) {
        error->code = JOBLOG_INTERNAL;
        snprintf(error->message, sizeof(error->message), "cannot write the file: %s", strerror(stream.error));
        if (rc >= 0 && ret_export)
            joblog_export_free(*ret_export);
        return -JOBLOG_INTERNAL;
    }
    return rc;
}
