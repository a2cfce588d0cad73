/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one structured line per event on standard error: time, level, event
 * name, then key=value pairs as the caller formats them. Never per packet.
 * Thread-safe: a line is one write(2).
 */
#ifndef TRANSPORT_LOG_H
#define TRANSPORT_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Lines below level are dropped; the default is INFO. Set before threads start. */
void log_set_level(enum log_level level);

/* log_event(LOG_LEVEL_INFO, "peer_up", "peer=%s generation=%u", name, gen); */
void log_event(enum log_level level, const char *event, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

#endif
