/* Inside server/store: the ids of a list, part by part: how far a list has come, and by which index the next ids are
 * found. A reader's thread. */
#ifndef STORE_LIST_IDS_H
#define STORE_LIST_IDS_H

#include "store/reader.h"

enum { LIST_PART_MAX = 1001 };
/* So long a list looks for a page before it gives what it has found; with the part that is under way then less than
 * 10 ms, unless that meets many jobs that have just been deleted. */
enum { LIST_US = 4000 };

/* How far a list has come. */
struct list_walk {
    int64_t lo, hi; /* the ids that are left: from lo to below hi */
    bool oldest_first;
    bool sifts;                /* what is found is looked through by list_sift*.sql */
    bool type_is_rare;         /* the jobs of the source type that is asked for are so few that their index is read */
    bool type_is_common;       /* or so many that they are met on the way */
    int32_t looks;             /* at so many jobs in the next part, when they have to be looked at one by one */
    int n_parts;               /* that have been read */
    int64_t n_looked, n_found; /* in them, about */
};

void list_walk_init(struct list_walk *w, const struct store_list *cmd, const struct job_filter *f, bool sifts);
/* On behind an id. */
void list_walk_go(struct list_walk *w, int64_t edge);
/* The last part took so long, and so much time is left: how much to look at in the next one. */
void list_walk_pace(struct list_walk *w, int64_t took_us, int64_t left_us);

/* Is the next part the first that reads all jobs of the filter's source type? It is short, and often the last. */
bool list_tries_type(const struct list_walk *w, const struct job_filter *f);

struct list_part {
    int64_t ids[LIST_PART_MAX]; /* in order */
    int n;
    bool whole;        /* there are no more behind it */
    unsigned statuses; /* bits of those that are meant, when the ids are of any; else 0 */
    int64_t edge;      /* else: everything up to this id, itself included, has been looked at */
    int64_t lo, hi;    /* private */
};

/* Reads the next ids that fit all of the filter that statements know: at most `want`, or as many as are sifted at a
 * time. 0 or -code. */
int list_read_part(struct reader *r, struct list_walk *w, const struct job_filter *f, const struct lane_set *lanes,
                   int want, struct list_part *part, struct err *ret_err);

/* Are types of errors found by their index? */
bool list_finds_errors(const struct job_filter *f);

#endif
