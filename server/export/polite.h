/* Exports make way for everything else: they take minutes where a dispatch takes milliseconds, and on a busy machine
 * the processor goes to the dispatch first. Any thread. */
#ifndef EXPORT_POLITE_H
#define EXPORT_POLITE_H

/* The calling thread has less of the processor from now on. */
void export_polite_thread(void);
/* The same for a process of this machine, such as the one that serves a connection to the embedded PostgreSQL. Not for
 * one that writes: while it waits for the processor it may hold a lock that commits need. */
void export_polite_process(int pid);

#endif
