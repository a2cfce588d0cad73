/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - Motions in EXPLAIN, in Greenplum's words:
 *
 *   Redistribute Motion 2:2  (slice2; segments: 2)  (cost=...)
 *     Hash Key: t.a
 *
 * PostgreSQL prints "Custom Scan (SluiceMotion)" before it asks the node for what
 * more there is to say. At that moment the node's title is the last of its kind
 * in the text, and is replaced.
 */
#include <postgres.h>

#include <commands/explain.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/lsyscache.h>
#include <utils/ruleutils.h>
#include <utils/typcache.h>

#include "executor/exec/explain.h"
#include "executor/exec/motion_state.h"

static const char *kind_name(MppMotionKind kind)
{
	switch (kind) {
	case MPP_MOTION_GATHER:
	case MPP_MOTION_ORDERED:
		return "Gather Motion";
	case MPP_MOTION_BROADCAST:
		return "Broadcast Motion";
	case MPP_MOTION_REDISTRIBUTE:
	case MPP_MOTION_RANDOM:
		break;
	}
	return "Redistribute Motion";
}

/* ---- the title ------------------------------------------------------------- */

static void replace_last(StringInfo text, const char *old, const char *new)
{
	size_t old_length = strlen(old);
	char *at = NULL, *next = text->data, *tail;

	while ((next = strstr(next, old)) != NULL) {
		at = next;
		next += old_length;
	}
	if (!at)
		return;
	tail = pstrdup(at + old_length);
	text->len = (int)(at - text->data);
	text->data[text->len] = '\0';
	appendStringInfoString(text, new);
	appendStringInfoString(text, tail);
	pfree(tail);
}

void mpp_explain_title(const char *custom_name, const char *name, int senders, int receivers,
                       int slice, ExplainState *es)
{
	switch (es->format) {
	case EXPLAIN_FORMAT_TEXT:
		replace_last(es->str, psprintf("Custom Scan (%s)", custom_name),
		             psprintf("%s %d:%d  (slice%d; segments: %d)", name, senders, receivers,
		                      slice, senders));
		return;
	case EXPLAIN_FORMAT_XML:
		replace_last(es->str, "<Node-Type>Custom Scan<", psprintf("<Node-Type>%s<", name));
		break;
	case EXPLAIN_FORMAT_JSON:
	case EXPLAIN_FORMAT_YAML:
		replace_last(es->str, "\"Custom Scan\"", psprintf("\"%s\"", name));
		break;
	}
	ExplainPropertyInteger("Senders", NULL, senders, es);
	ExplainPropertyInteger("Receivers", NULL, receivers, es);
	ExplainPropertyInteger("Slice", NULL, slice, es);
	ExplainPropertyInteger("Segments", NULL, senders, es);
}

/* ---- keys ------------------------------------------------------------------ */

static char *deparse(const Node *expr, const CustomScanState *node, List *ancestors,
                     ExplainState *es)
{
	List *context = set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan, ancestors);

	return deparse_expression(unconstify(Node *, expr), context,
	                          list_length(es->rtable) > 1 || es->verbose, false);
}

static void put_hash_key(const CustomScanState *node, List *ancestors, ExplainState *es)
{
	const CustomScan *scan = castNode(CustomScan, node->ss.ps.plan);
	List *keys = NIL;
	ListCell *cell;

	foreach (cell, scan->custom_exprs)
		keys = lappend(keys, deparse(lfirst(cell), node, ancestors, es));
	if (keys)
		ExplainPropertyList("Hash Key", keys, es);
}

/* DESC, NULLS FIRST and such, where they are not what is the default. */
static char *add_order(char *key, Oid operator, bool nulls_first)
{
	bool reverse = false;

	(void)get_equality_op_for_ordering_op(operator, & reverse);
	if (reverse)
		key = psprintf("%s DESC", key);
	if (nulls_first != reverse)
		key = psprintf("%s NULLS %s", key, nulls_first ? "FIRST" : "LAST");
	return key;
}

static void put_merge_key(const MppMotionState *state, List *ancestors, ExplainState *es)
{
	const CustomScan *scan = castNode(CustomScan, state->css.ss.ps.plan);
	const MppMotion *motion = &state->motion;
	List *keys = NIL;
	ListCell *cell;

	foreach (cell, motion->sort_columns) {
		const TargetEntry *entry =
		        list_nth_node(TargetEntry, scan->custom_scan_tlist, lfirst_int(cell) - 1);
		const Node *expr = (const Node *)entry->expr;
		Var *var = makeVar(INDEX_VAR, (AttrNumber)lfirst_int(cell), exprType(expr),
		                   exprTypmod(expr), exprCollation(expr), 0);
		int i = foreach_current_index(cell);

		keys = lappend(keys, add_order(deparse((Node *)var, &state->css, ancestors, es),
		                               list_nth_oid(motion->sort_operators, i),
		                               list_nth_int(motion->sort_nulls_first, i) != 0));
	}
	if (keys)
		ExplainPropertyList("Merge Key", keys, es);
}

/* ---- what was moved -------------------------------------------------------- */

static void put_text_sums(const char *label, const MppMotionSums *sums, ExplainState *es)
{
	appendStringInfoSpaces(es->str, es->indent * 2);
	appendStringInfo(es->str,
	                 "%s: rows=" UINT64_FORMAT " bytes=" UINT64_FORMAT " frames=" UINT64_FORMAT
	                 " stalls=" UINT64_FORMAT,
	                 label, sums->rows, sums->bytes, sums->frames, sums->stalls);
	if (es->timing)
		appendStringInfo(es->str, " blocked=%.3f ms", (double)sums->blocked_ns / 1e6);
	if (sums->drained_frames)
		appendStringInfo(es->str, " drained=" UINT64_FORMAT, sums->drained_frames);
	if (sums->spilled_bytes)
		appendStringInfo(es->str, " spilled=" UINT64_FORMAT, sums->spilled_bytes);
	appendStringInfoChar(es->str, '\n');
}

static void put_sums(const char *label, const MppMotionSums *sums, ExplainState *es)
{
	if (es->format == EXPLAIN_FORMAT_TEXT) {
		put_text_sums(label, sums, es);
		return;
	}
	ExplainOpenGroup(label, label, true, es);
	ExplainPropertyUInteger("Rows", NULL, sums->rows, es);
	ExplainPropertyUInteger("Bytes", NULL, sums->bytes, es);
	ExplainPropertyUInteger("Frames", NULL, sums->frames, es);
	ExplainPropertyUInteger("Stalls", NULL, sums->stalls, es);
	if (es->timing)
		ExplainPropertyFloat("Blocked Time", "ms", (double)sums->blocked_ns / 1e6, 3, es);
	ExplainPropertyUInteger("Drained Frames", NULL, sums->drained_frames, es);
	ExplainPropertyUInteger("Spilled Bytes", NULL, sums->spilled_bytes, es);
	ExplainCloseGroup(label, label, true, es);
}

void mpp_motion_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	const MppMotionState *state = (const MppMotionState *)node;

	mpp_explain_title(MPP_MOTION_NAME, kind_name(state->motion.kind),
	                  list_length(state->motion.senders), list_length(state->motion.receivers),
	                  state->motion.number, es);
	put_hash_key(node, ancestors, es);
	put_merge_key(state, ancestors, es);
	if (es->analyze) {
		put_sums("Sent", &state->sent, es);
		put_sums("Received", &state->received, es);
	}
}
