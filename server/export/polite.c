/* See polite.h. Linux has a nice value for each thread. */
#include "export/polite.h"

#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

enum { NICE = 10 /* a tenth of the share of a thread with the usual value */ };

static void be_nice(pid_t id)
{
    int rc = setpriority(PRIO_PROCESS, (id_t)id, NICE); /* fails where it is lower already: as good */
    (void)rc;
}

void export_polite_thread(void)
{
    be_nice(gettid());
}

void export_polite_process(int pid)
{
    if (pid > 0)
        be_nice(pid);
}
