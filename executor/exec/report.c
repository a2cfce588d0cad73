/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c - records of one byte of kind, a number and a struct: the processes of
 * a cluster run the same build of PostgreSQL (the message's version is checked
 * before), on hosts of one byte order (as rows are).
 *
 * A segment is shown as PostgreSQL shows a parallel worker: the sums are the
 * node's, and VERBOSE tells each one's times.
 */
#include "executor/exec/report.h"

#include <executor/instrument.h>
#include <libpq/pqformat.h>
#include <nodes/nodeFuncs.h>

#include "executor/exec/report_memory.h"

#define RECORD_NODE     'n' /* number of the plan node, Instrumentation */
#define RECORD_MEMORY   'm' /* number of the plan node, MppMemoryUse */
#define RECORD_SENT     's' /* number of the motion, MppMotionSums */
#define RECORD_RECEIVED 'r'

static MppMotionSums sums_of(const struct slu_motion_stats *stats)
{
	return (MppMotionSums){
	        .rows = stats->rows,
	        .bytes = stats->bytes,
	        .frames = stats->frames,
	        .stalls = stats->stalls,
	        .blocked_ns = stats->blocked_ns,
	        .drained_frames = stats->drained_frames,
	        .spilled_bytes = stats->spilled_bytes,
	};
}

static void add_sums(MppMotionSums *to, const MppMotionSums *sums)
{
	to->rows += sums->rows;
	to->bytes += sums->bytes;
	to->frames += sums->frames;
	to->stalls += sums->stalls;
	to->blocked_ns += sums->blocked_ns;
	to->drained_frames += sums->drained_frames;
	to->spilled_bytes += sums->spilled_bytes;
}

/* ---- writing --------------------------------------------------------------- */

static void put_record(StringInfo out, char kind, int number, const void *bytes, int size_bytes)
{
	pq_sendbyte(out, (uint8)kind);
	pq_sendint32(out, (uint32)number);
	pq_sendint32(out, (uint32)size_bytes);
	pq_sendbytes(out, bytes, size_bytes);
}

static void put_received(StringInfo out, const MppMotionState *motion)
{
	struct slu_motion_stats stats;
	MppMotionSums sums;

	if (!motion->receiver ||
	    slu_motion_receiver_stats(motion->receiver, SLU_MOTION_ALL, &stats) < 0)
		return;
	sums = sums_of(&stats);
	put_record(out, RECORD_RECEIVED, motion->motion.number, &sums, sizeof(sums));
}

static bool put_node(PlanState *node, StringInfo out)
{
	MppMotionState *motion = mpp_motion_state(node);
	MppMemoryUse memory;

	if (node->instrument) {
		InstrEndLoop(node->instrument);
		put_record(out, RECORD_NODE, node->plan->plan_node_id, node->instrument,
		           sizeof(*node->instrument));
	}
	if (node->instrument && mpp_memory_of(node, &memory))
		put_record(out, RECORD_MEMORY, node->plan->plan_node_id, &memory, sizeof(memory));
	if (motion)
		put_received(out, motion);
	return planstate_tree_walker(node, put_node, out);
}

void mpp_report_put_sent(StringInfo out, const MppSender *sender)
{
	struct slu_motion_stats stats;
	MppMotionSums sums;

	if (slu_motion_sender_stats(mpp_sender_motion(sender), SLU_MOTION_ALL, &stats) < 0)
		return;
	sums = sums_of(&stats);
	put_record(out, RECORD_SENT, mpp_sender_number(sender), &sums, sizeof(sums));
}

void mpp_report_put(StringInfo out, PlanState *top, const MppSender *sender)
{
	put_node(top, out);
	mpp_report_put_sent(out, sender);
}

/* ---- reading --------------------------------------------------------------- */

typedef struct Record {
	char kind;
	int number;
	int content;
	int segment_count;
	union {
		Instrumentation node;
		MppMemoryUse memory;
		MppMotionSums sums;
	} value;
} Record;

static void add_worker(PlanState *node, const Record *record)
{
	int count = record->segment_count;

	if (!node->worker_instrument) {
		node->worker_instrument = MemoryContextAllocZero(
		        node->state->es_query_cxt, offsetof(WorkerInstrumentation, instrument) +
		                                           sizeof(Instrumentation) * (Size)count);
		node->worker_instrument->num_workers = count;
	}
	if (record->content >= 0 && record->content < node->worker_instrument->num_workers)
		InstrAggNode(&node->worker_instrument->instrument[record->content],
		             unconstify(Instrumentation *, &record->value.node));
}

/* walker: true ends the walk */
static bool add_record(PlanState *node, void *context)
{
	const Record *record = context;
	MppMotionState *motion = mpp_motion_state(node);

	if (record->kind == RECORD_NODE && node->plan->plan_node_id == record->number) {
		if (node->instrument) {
			InstrAggNode(node->instrument,
			             unconstify(Instrumentation *, &record->value.node));
			add_worker(node, record);
		}
		return true;
	}
	if (record->kind == RECORD_MEMORY && node->plan->plan_node_id == record->number) {
		mpp_memory_add(node, &record->value.memory, record->content, record->segment_count);
		return true;
	}
	if (motion && (record->kind == RECORD_SENT || record->kind == RECORD_RECEIVED) &&
	    motion->motion.number == record->number) {
		add_sums(record->kind == RECORD_SENT ? &motion->sent : &motion->received,
		         &record->value.sums);
		return true;
	}
	return planstate_tree_walker(node, add_record, context);
}

static int size_of_kind(char kind)
{
	switch (kind) {
	case RECORD_NODE:
		return sizeof(Instrumentation);
	case RECORD_MEMORY:
		return sizeof(MppMemoryUse);
	default:
		return sizeof(MppMotionSums);
	}
}

static bool get_record(StringInfo in, Record *ret_record)
{
	int size;

	if (in->cursor >= in->len)
		return false;
	ret_record->kind = (char)pq_getmsgbyte(in);
	ret_record->number = (int)pq_getmsgint(in, 4);
	size = (int)pq_getmsgint(in, 4);
	if (size != size_of_kind(ret_record->kind))
		elog(ERROR, "malformed report of a segment");
	pq_copymsgbytes(in, (char *)&ret_record->value, size);
	return true;
}

void mpp_report_add(MppMotionState *root, const char *bytes, int size_bytes, int content)
{
	StringInfoData in = {
	        .data = unconstify(char *, bytes), .len = size_bytes, .maxlen = size_bytes};
	Record record = {.content = content, .segment_count = root->run->dispatch.segment_count};

	while (get_record(&in, &record))
		add_record(&root->css.ss.ps, &record);
}

void mpp_report_add_root(MppMotionState *root)
{
	struct slu_motion_stats stats;
	MppMotionSums sums;

	if (slu_motion_receiver_stats(root->receiver, SLU_MOTION_ALL, &stats) < 0)
		return;
	sums = sums_of(&stats);
	add_sums(&root->received, &sums);
}
