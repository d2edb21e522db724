/* What the name of an export's file says of its form, and what the server calls a file that is given no name. Main
 * thread; sends nothing. */
#ifndef JOBLOG_CLI_EXPORT_FORM_H
#define JOBLOG_CLI_EXPORT_FORM_H

#include "cli.h"

/* Takes from the names that the file is to have, here (output) and on the server (name), each NULL for none, what *spec
 * does not say: format, compression, delimiter. They end as they like, in capitals or not; an ending that is not known
 * says nothing. 0, or EXIT_USAGE with a message when they contradict *spec or each other: nobody wants users.xlsx to be
 * no workbook. */
int export_form_by_names(const struct cli *cli, const char *output, const char *name, struct joblog_export_spec *spec);
/* "users-2026-01-31.csv": what the server calls the file of *spec if that is started now and names none. Gives. */
char *export_form_name(const struct joblog_export_spec *spec);

#endif
