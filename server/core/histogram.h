/* Durations in STATS_BUCKETS logarithmic buckets, two a doubling, from 16 microseconds to about 19 hours. */
#ifndef CORE_HISTOGRAM_H
#define CORE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 64 };

/* 0 to HISTOGRAM_BUCKETS - 1; negative durations count as 0. */
int histogram_bucket(int64_t us);
/* Upper edge of a bucket. */
int64_t histogram_edge_us(int bucket);
/* Value below which the fraction q (0 to 1) lies, interpolated within its bucket; 0 when empty. */
int64_t histogram_quantile_us(const int64_t *counts, double q);

#endif
