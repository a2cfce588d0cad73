/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h - driver instances under test with a monitor around them: every call
 * and every event goes through the rig, which checks what must hold always -
 * messages whole, in order and once, SENT in order, no read of a frame after
 * SENT (it scribbles over it), nothing before UP nor after DOWN or close,
 * WRITABLE only after SLU_AGAIN, buffers from rx_get all accounted for. Tests
 * add what must hold in their situation.
 */
#ifndef TESTS_DRIVER_RIG_H
#define TESTS_DRIVER_RIG_H

#include <sys/queue.h>

#include "tests/driver/conformance.h"

#define RIG_MESSAGE_BYTES_MAX 65536u
#define RIG_FRAMES            256u /* per instance, for sending and receiving each */
#define RIG_INSTANCES_MAX     3

/* What was sent: enough to make the same bytes again. */
struct rig_record {
	uint64_t seed;
	uint32_t size_bytes;
	bool small;
};

enum rig_state { RIG_CONNECTING, RIG_OFFERED, RIG_ACCEPTED, RIG_UP, RIG_DOWN, RIG_CLOSED };

/* One end of a session, as its user sees it. Lives until rig_destroy, so that
 * what its peer receives later can be checked. */
struct rig_side {
	TAILQ_ENTRY(rig_side) link;
	struct rig_instance *instance;
	struct slu_session *session;
	struct rig_side *other; /* NULL: the peer did not see it yet */
	uint32_t id;            /* of the session, in its hello */
	uint8_t hello[SLU_DRIVER_HELLO_BYTES];
	enum rig_state state;
	bool closed_in_batch; /* events polled before the close are still in hand */

	struct rig_record *records; /* what this side sent */
	size_t record_count, record_room;
	size_t received; /* how many of other's records */

	uint64_t cookie_next;   /* of the next frame */
	uint64_t cookie_sent;   /* the next SENT must be this one */
	uint32_t *cookie_frame; /* frame index by cookie */
	size_t cookie_room;

	bool wants_writable; /* a send returned SLU_AGAIN, and no WRITABLE came since */
	unsigned again_count, writable_count;
	int down_error;
	char down_text[SLU_DRIVER_ERROR_MAX];
};

enum rig_policy { RIG_ACCEPT, RIG_HOLD, RIG_REFUSE };

struct rig_instance {
	struct rig *rig;
	const struct slu_driver_ops *ops; /* remote_ops: it is in another process */
	struct slu_driver *driver;        /* NULL: closed */
	struct slu_driver_host host;
	char address[SLU_DRIVER_ADDRESS_MAX];
	uint8_t *arena;
	bool tx_busy[RIG_FRAMES], rx_busy[RIG_FRAMES];
	unsigned tx_free_count;
	bool starved; /* rx_get gives nothing */
	int batch;    /* events per poll; 0: random */
	enum rig_policy policy;
	unsigned stranger_count; /* ACCEPTs with a hello that is not the rig's */
	uint64_t again_count;
	TAILQ_HEAD(, rig_side) sides;
};

struct rig {
	const struct conformance_fixture *fixture;
	const struct conformance_far *far; /* NULL: all instances are in this process */
	struct conformance_environment *environment;
	struct rig_instance instances[RIG_INSTANCES_MAX];
	int instance_count;
	uint64_t random;
	uint32_t last_id;
};

/* The seed of the run; a failure prints it. far: see conformance_run. */
struct rig *rig_create(const struct conformance_fixture *fixture, const struct conformance_far *far,
                       int instance_count, uint64_t seed);
/* Closes every instance and checks that nothing is left. */
void rig_destroy(struct rig *rig);
void rig_instance_close(struct rig_instance *instance);
/* The options of instance idx; returns how many. */
size_t rig_options(const struct conformance_fixture *fixture, int idx,
                   struct slu_driver_option *ret_options, size_t room);

uint64_t rig_random(struct rig *rig);

/* NULL: the connect failed with *ret_error. */
struct rig_side *rig_connect(struct rig_instance *from, const char *address, int *ret_error);
/* With a hello that is not the rig's: text, then zeros. */
struct rig_side *rig_connect_hello(struct rig_instance *from, const char *address,
                                   const char *text);
/* A session that is up at both ends; NULL with a failed assertion if it is not.
 * ret_acceptor may be NULL. */
struct rig_side *rig_session(struct rig *rig, int from, int to, struct rig_side **ret_acceptor);
void rig_accept(struct rig_side *side);
void rig_close(struct rig_side *side);

/* The driver's result. A frame is SLU_AGAIN too when the rig has none free. */
int rig_send(struct rig_side *side, uint32_t size_bytes);
int rig_send_small(struct rig_side *side, uint32_t size_bytes);
/* As these, with rounds while the driver pushes back. */
int rig_put(struct rig_side *side, uint32_t size_bytes);
int rig_put_small(struct rig_side *side, uint32_t size_bytes);
/* One message of random kind and size. */
int rig_send_any(struct rig_side *side);

/* Flush and poll every instance once; returns the number of events. */
int rig_round(struct rig *rig);
int rig_poll(struct rig_instance *instance);
/* Let time pass, at most timeout_ns; false: nothing can happen any more. */
bool rig_wait(struct rig *rig, uint64_t timeout_ns);
/* A RECV_* that a test polled by itself: the monitor's checks. */
void rig_message_check(struct rig_side *side, const struct slu_driver_event *event);
/* Rounds until done(ctx), letting time pass when nothing happens; false: it
 * does not come. */
bool rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx);
/* Rounds until nothing happens any more. */
void rig_settle(struct rig *rig);

/* Conditions for rig_until. */
bool rig_side_is_up(void *side);
bool rig_side_is_down(void *side);
/* All that the other side sent arrived here, and there came a SENT for each. */
bool rig_side_has_all(void *side);

#endif
