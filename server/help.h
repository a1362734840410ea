/* What `canyon-server --help` teaches. */
#ifndef CANYON_SERVER_HELP_H
#define CANYON_SERVER_HELP_H

/* Static memory. */
const char *help_text(void);

#endif
