/* The ends of processes that commands leave behind. This process is the parent of those: as the first of a container,
 * or by PR_SET_CHILD_SUBREAPER, which reaper_start asks for; elsewhere the system's init would be, in its own time. One
 * that has ended and that nobody waits for stays a member of its process group, which then never seems to be over. */
#ifndef JOBLOG_CLI_REAPER_H
#define JOBLOG_CLI_REAPER_H

#include <sys/types.h>

/* A child that somebody waits for. */
struct reaper_child {
    pid_t pid;
    struct reaper_child *prev, *next;
};

/* Once is enough, more do no harm. Starts a thread, for good. */
void reaper_start(void);
/* Around the making of a child: what ends meanwhile is left alone until it is known whose it is. Any thread. */
void reaper_hold(void);
/* child: the one that was made, which it keeps until reaper_forget; NULL: none was. */
void reaper_let_go(struct reaper_child *child);
/* After its end has been taken. */
void reaper_forget(struct reaper_child *child);

#endif
