/* Logarithmic buckets, each doubling split at its middle; see histogram.h. Pure. */
#include "core/histogram.h"

enum { FIRST_EXPONENT = 4 }; /* bucket 0 ends at 24, bucket 1 at 32, bucket 2 at 48 ... */

int histogram_bucket(int64_t us)
{
    if (us < INT64_C(1) << FIRST_EXPONENT)
        return 0;
    int exponent = 63 - __builtin_clzll((unsigned long long)us);
    int bucket = (exponent - FIRST_EXPONENT) * 2 + (int)(us >> (exponent - 1) & 1);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

int64_t histogram_edge_us(int bucket)
{
    int64_t start = INT64_C(1) << (bucket / 2 + FIRST_EXPONENT);

    return bucket % 2 ? start * 2 : start + start / 2;
}

int64_t histogram_quantile_us(const int64_t *counts, double q)
{
    int64_t total = 0, below = 0;

    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += counts[i];
    if (total == 0)
        return 0;
    double wanted = (q < 0 ? 0 : q > 1 ? 1 : q) * (double)total;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (counts[i] > 0 && (double)(below + counts[i]) >= wanted) {
            int64_t from = i ? histogram_edge_us(i - 1) : 0;
            double part = (wanted - (double)below) / (double)counts[i];
            return from + (int64_t)((double)(histogram_edge_us(i) - from) * part);
        }
        below += counts[i];
    }
    return histogram_edge_us(HISTOGRAM_BUCKETS - 1);
}
