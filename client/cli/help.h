/* What --help prints, from the tables of the commands. Main thread. */
#ifndef JOBLOG_CLI_HELP_H
#define JOBLOG_CLI_HELP_H

#include "cli.h"

#include <stdio.h>

void help_overview(FILE *out);
void help_command(FILE *out, const struct command *command);
/* The commands that start with word and a space ("export"). False when there is none. */
bool help_group(FILE *out, const char *word);

#endif
