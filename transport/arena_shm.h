/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena_shm.h - what lies in the arena, byte for byte. Every process that maps
 * it was built with the same LAYOUT version; the agent refuses others.
 *
 *   header . process slots . channels (each with its ring) . free bitmaps . frames
 *
 * Frames by index:
 *   [0, max_channels)                   home frames: frame i belongs to channel i
 *                                       for good, so that every open channel can
 *                                       always move one frame
 *   [max_channels, +receive_frames)     the agent's, to receive from the network
 *   the rest                            shared by all channels of the host
 */
#ifndef TRANSPORT_ARENA_SHM_H
#define TRANSPORT_ARENA_SHM_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_MAGIC          UINT64_C(0x616e657261756c73) /* "sluarena" */
#define ARENA_LAYOUT_VERSION 2u
#define ARENA_CACHE_LINE     64u

#define ARENA_NODE_BYTES  64u
#define PROC_NAME_BYTES   48u
#define PROC_CACHE_FRAMES 8u /* per process; small, so that hoarding is bounded */
#define CHAN_REASON_BYTES 384u
#define SLOT_NONE         UINT32_MAX

/* ---- frames ------------------------------------------------------------ */

/*
 * The first FRAME_HEADER_BYTES of a frame. The owner word is the truth about
 * who may touch the frame: whoever moves a frame changes it, by compare and
 * swap where two may try. Free bitmaps and caches are hints on where to look;
 * so a process killed between any two instructions leaves a frame that has
 * exactly one owner, and the agent finds it by that.
 *
 *   owner         writer                             next
 *   FREE          releaser, agent                    CAS by whoever wants it
 *   CACHED(proc)  proc, after release                CAS by proc, or by a thief
 *   HELD(proc)    proc (sender filling, receiver     plain store by proc
 *                 reading, agent's poller sending)
 *   QUEUED(chan)  sender, just before publishing     receiver, when it takes it
 *   HOME(chan)    receiver, releasing a home frame   sender of chan only
 *
 * Everything from `wire` on is sent over the network as it lies here.
 */
enum frame_state { FRAME_FREE = 0, FRAME_CACHED, FRAME_HELD, FRAME_QUEUED, FRAME_HOME };

#define FRAME_ID_BITS          28u
#define FRAME_OWNER(state, id) (((uint32_t)(state) << FRAME_ID_BITS) | (uint32_t)(id))
#define FRAME_STATE(owner)     ((owner) >> FRAME_ID_BITS)
#define FRAME_ID(owner)        ((owner) & ((1u << FRAME_ID_BITS) - 1))

/* Header of a message between agents, little-endian on the wire. On a local
 * channel only size_bytes and tag mean anything. */
struct frame_wire {
	uint32_t channel;    /* the receiving agent's number for the channel */
	uint32_t size_bytes; /* of payload */
	uint64_t pos;        /* of this frame in its channel, from 0 */
	uint32_t crc32c;     /* of this header with 0 here and the payload, if flagged */
	uint16_t tag;        /* the sender's */
	uint8_t type;        /* enum peer_data_type (engine) */
	uint8_t flags;
};
static_assert(sizeof(struct frame_wire) == 24, "wire format");

struct frame_shm {
	_Atomic uint32_t owner;
	uint32_t holder; /* HELD by a receiver: the channel it came on */
	struct frame_wire wire;
	uint8_t payload[];
};
#define FRAME_HEADER_BYTES 32u
static_assert(offsetof(struct frame_shm, payload) == FRAME_HEADER_BYTES,
              "payload is 32-byte aligned");
static_assert(offsetof(struct frame_shm, wire) == 8, "wire header ends where the payload begins");

/* ---- channels ---------------------------------------------------------- */

enum chan_state { CHAN_FREE = 0, CHAN_OPEN };

/*
 * field          only writer     readers           ordering
 * state          agent           all               release -> acquire
 * tx_slot        agent           receiver          seq_cst, see port.h
 * rx_slot        agent           sender            seq_cst
 * slots[]        sender          receiver          W1 release -> R1 acquire
 * published_pos  sender          stats, agent      relaxed: a report
 * eos_pos        sender          receiver          W2 release -> R2 acquire
 * tx_wait        sender          receiver          seq_cst with limit_pos (Dekker)
 * limit_pos      receiver        sender            W3 release -> R3 acquire
 * released_pos   receiver        agent             before limit_pos: release
 * stop           receiver        sender            W4 release -> R4 acquire
 * *_reset        its writer      all               text before: release -> acquire
 *
 * Positions count frames from 0 and never wrap (2^64 frames).
 */
struct chan_reset {
	_Atomic uint32_t error; /* positive errno; 0: not reset */
	char text[CHAN_REASON_BYTES - 4];
};

struct chan_shm {
	/* agent */
	alignas(ARENA_CACHE_LINE) _Atomic uint32_t state;
	_Atomic uint32_t tx_slot; /* process slot of the sender; SLOT_NONE: not yet, or gone */
	_Atomic uint32_t rx_slot;
	uint32_t remote;     /* 1: one end is the agent's poller */
	uint32_t window_max; /* frames, a power of two, at most the ring */
	uint32_t open_count; /* how often this entry was opened: a stale handle shows */
	uint64_t query;      /* from the key, for statistics */
	uint32_t motion, source, destination, reserved;

	/* sender: what the receiver looks at, changed seldom ... */
	alignas(ARENA_CACHE_LINE) _Atomic uint64_t
	        eos_pos;              /* 0: no EOS yet; else final position + 1 */
	_Atomic uint64_t tx_wake_pos; /* limit_pos that is worth a wake-up */
	_Atomic uint32_t tx_wait;     /* 1: the sender wants credit */
	uint32_t reserved_tx;
	_Atomic uint64_t tx_stalls;
	/* ... and with every frame, which nobody looks at on the data path */
	alignas(ARENA_CACHE_LINE) _Atomic uint64_t published_pos;
	_Atomic uint64_t tx_bytes;
	_Atomic uint64_t tx_blocked_ns;

	/* receiver: likewise */
	alignas(ARENA_CACHE_LINE) _Atomic uint64_t limit_pos; /* the sender may publish below it */
	_Atomic uint64_t released_pos;                        /* frames given back */
	_Atomic uint32_t stop;
	_Atomic uint32_t window;
	alignas(ARENA_CACHE_LINE) _Atomic uint64_t rx_frames;
	_Atomic uint64_t rx_bytes;
	_Atomic uint64_t rx_stalls;
	_Atomic uint64_t rx_blocked_ns;

	alignas(ARENA_CACHE_LINE) struct chan_reset agent_reset;
	alignas(ARENA_CACHE_LINE) struct chan_reset tx_reset;
	alignas(ARENA_CACHE_LINE) struct chan_reset rx_reset;

	/*
	 * The ring: position p is in slots[p % window_slots] as
	 * (uint32_t)(p + 1) << 32 | frame index, so a slot tells by itself whether
	 * it holds the position that the receiver waits for, and one cache line
	 * carries index and arrival. 0: never used.
	 */
	alignas(ARENA_CACHE_LINE) _Atomic uint64_t slots[];
};

/* ---- processes --------------------------------------------------------- */

enum proc_state { PROC_FREE = 0, PROC_ATTACHED };

/*
 * field      only writer                       readers      ordering
 * state..    agent                             all          release -> acquire
 * sleeping   owner sets, owner and the one     publishers   seq_cst (Dekker, port.h)
 *            publisher that rings clear it
 * cache[]    owner puts; owner and thieves     -            acq_rel exchange
 *            take
 * rotor      owner                             -            relaxed
 * counters   owner                             statistics   relaxed
 *
 * The ready set (readyset.h) follows the struct.
 */
struct proc_shm {
	alignas(ARENA_CACHE_LINE) _Atomic uint32_t state;
	uint32_t pid;
	uint32_t uid;
	uint32_t reserved;
	char name[PROC_NAME_BYTES];

	alignas(ARENA_CACHE_LINE) _Atomic uint32_t sleeping;

	alignas(ARENA_CACHE_LINE) _Atomic uint64_t spins;
	_Atomic uint64_t sleeps;
	_Atomic uint64_t wakeups_sent;

	alignas(ARENA_CACHE_LINE) _Atomic uint32_t
	        cache[PROC_CACHE_FRAMES]; /* frame + 1; 0: empty */
	_Atomic uint32_t rotor;           /* where to look for a free frame next */

	alignas(ARENA_CACHE_LINE) _Atomic uint64_t ready[];
};

/* ---- header ------------------------------------------------------------ */

/* Counters of the agent, each with one writing thread; for `sluice top`. */
enum arena_counter {
	/* conductor */
	ARENA_PROCESSES_ATTACHED, /* now */
	ARENA_PROCESSES_TOTAL,
	ARENA_PROCESSES_KILLED, /* ended without detach */
	ARENA_CHANNELS_OPEN,    /* now */
	ARENA_CHANNELS_TOTAL,
	ARENA_CHANNELS_RESET,
	ARENA_FRAMES_RECLAIMED, /* from killed processes */
	ARENA_CLIENTS_REFUSED,
	ARENA_PEERS_UP,        /* now */
	ARENA_PEERS_ENCRYPTED, /* now: of these, whose data is encrypted on its way */
	ARENA_PEERS_LOST,      /* total */
	/* poller 0 */
	ARENA_TX_FRAMES,
	ARENA_TX_BYTES,
	ARENA_RX_FRAMES,
	ARENA_RX_BYTES,
	ARENA_TX_RESENT_FRAMES,
	ARENA_TX_COPIED_BYTES,
	ARENA_RX_COPIED_BYTES,
	ARENA_RX_DUPLICATE_FRAMES,
	ARENA_CRC_ERRORS,
	ARENA_SESSIONS_UP,   /* now */
	ARENA_SESSIONS_LOST, /* total */
	ARENA_POLLER_LOOPS,
	ARENA_POLLER_SLEEPS,
	ARENA_COUNTERS
};

struct arena_header_shm {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t counter_count;
	uint64_t generation; /* random per agent start; never 0 */
	uint64_t cluster;
	uint64_t size_bytes;  /* of the mapping */
	uint32_t frame_bytes; /* header included; a power of two */
	uint32_t frame_count;
	uint32_t max_channels;
	uint32_t receive_frames;
	uint32_t max_processes; /* the first `pollers` are the agent's own */
	uint32_t window_slots;  /* per ring; a power of two */
	uint32_t pollers;
	uint32_t page_bytes; /* of the pages under the arena */
	uint64_t procs_offset, proc_stride_bytes;
	uint64_t chans_offset, chan_stride_bytes;
	uint64_t shared_free_offset;  /* bitmap over the shared frames */
	uint64_t receive_free_offset; /* bitmap over the receive frames */
	uint64_t frames_offset;
	int32_t agent_pid;
	uint32_t reserved;
	char node[ARENA_NODE_BYTES];

	alignas(ARENA_CACHE_LINE) _Atomic uint32_t channels_open; /* agent; sizes fair windows */
	_Atomic uint32_t agent_stopped;                           /* 1: graceful stop */

	alignas(ARENA_CACHE_LINE) _Atomic uint64_t counters[ARENA_COUNTERS];
};

#endif
