/* Between the handlers of EchoService (echo_server.c) and the fixture around them (echo_fixture.c). */
#ifndef TESTS_CRPC_ECHO_HANDLERS_H
#define TESTS_CRPC_ECHO_HANDLERS_H

#include "echo_server.h"

extern const struct crpc_test_v1_echo_service_handlers ECHO_HANDLERS;

/* Any worker. */
void echo_count_up(struct echo *e, unsigned *counter);
/* tag is there for echo_post, until it is forgotten. */
void echo_give_tag(struct echo *e, struct tag *tag);
void echo_forget_tag(struct echo *e, const struct tag *tag);

#endif
