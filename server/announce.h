/* Tells the user's own programs where the token of this server is: a small file for each address, in the user's state
 * directory. Main thread. */
#ifndef SERVER_ANNOUNCE_H
#define SERVER_ANNOUNCE_H

struct announcement;

/* addresses: as of daemon_addresses. Writes $XDG_STATE_HOME/joblog/servers/ADDRESS (else $HOME/.local/state/…) with the
 * path of the token's file in it, and holds a lock on it while the server runs: a client that finds it locked knows
 * that nobody else can have taken the address since. Gives the announcement (announcement_end); NULL when there is no
 * such directory, which is no error. */
struct announcement *announce(const char *addresses, const char *token_file);
/* Takes NULL. */
void announcement_end(struct announcement *announcement);

#endif
