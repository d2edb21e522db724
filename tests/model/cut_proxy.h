/* A TCP proxy on a thread of its own that cuts, resets and stalls the connections through it, at times that follow from
 * a seed. Not for product code. */
#ifndef MODEL_CUT_PROXY_H
#define MODEL_CUT_PROXY_H

#include <stdbool.h>
#include <stdint.h>

struct cut_proxy;

/* Listens on a free port of 127.0.0.1 and connects to target ("127.0.0.1:PORT") for each connection. NULL on failure.
 */
struct cut_proxy *cut_proxy_start(const char *target, uint64_t seed);
/* "127.0.0.1:PORT". Borrowed. */
const char *cut_proxy_address(const struct cut_proxy *proxy);
/* Whether it does harm; it does from the start. What is stalled then goes on. Any thread. */
void cut_proxy_harm(struct cut_proxy *proxy, bool harm);
/* How many connections it has cut, and stalled. */
void cut_proxy_count(const struct cut_proxy *proxy, int *ret_cut, int *ret_stalled);
/* Cuts all, frees. Takes NULL. */
void cut_proxy_stop(struct cut_proxy *proxy);

#endif
