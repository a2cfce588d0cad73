/* SPDX-License-Identifier: Apache-2.0 */
/*
 * motion_plan.c - a MppMotion in the lists of a CustomScan. OIDs are kept as
 * constants of the reg* types, so that what maps OIDs between servers (names.h)
 * finds and maps them like any other constant.
 */
#include "executor/exec/motion_plan.h"

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>

bool mpp_is_motion(const Plan *plan)
{
	return plan && IsA(plan, CustomScan) &&
	       ((const CustomScan *)plan)->methods == &mpp_motion_scan_methods;
}

static List *oids_to_consts(List *oids, Oid type)
{
	List *consts = NIL;
	ListCell *cell;

	foreach (cell, oids)
		consts =
		        lappend(consts, makeConst(type, -1, InvalidOid, sizeof(Oid),
		                                  ObjectIdGetDatum(lfirst_oid(cell)), false, true));
	return consts;
}

static List *consts_to_oids(List *consts)
{
	List *oids = NIL;
	ListCell *cell;

	foreach (cell, consts)
		oids = lappend_oid(oids, DatumGetObjectId(lfirst_node(Const, cell)->constvalue));
	return oids;
}

void mpp_motion_encode(CustomScan *scan, const MppMotion *motion)
{
	List *private = NIL;

	private = lappend(private, list_make4_int(motion->kind, motion->number, motion->rescan,
	                                          motion->made_first));
	private = lappend(private, list_copy(motion->senders));
	private = lappend(private, list_copy(motion->receivers));
	private = lappend(private, oids_to_consts(motion->hash_types, REGTYPEOID));
	private = lappend(private, oids_to_consts(motion->hash_collations, REGCOLLATIONOID));
	private = lappend(private, list_copy(motion->sort_columns));
	private = lappend(private, oids_to_consts(motion->sort_operators, REGOPERATOROID));
	private = lappend(private, oids_to_consts(motion->sort_collations, REGCOLLATIONOID));
	private = lappend(private, list_copy(motion->sort_nulls_first));
	scan->custom_private = private;
	scan->methods = &mpp_motion_scan_methods;
}

void mpp_motion_decode(const CustomScan *scan, MppMotion *ret_motion)
{
	const List *private = scan->custom_private;
	const List *head;

	if (list_length(private) != 9)
		elog(ERROR, "malformed Motion node");
	head = linitial_node(List, private);
	ret_motion->kind = (MppMotionKind)linitial_int(head);
	ret_motion->number = lsecond_int(head);
	ret_motion->rescan = lthird_int(head) != 0;
	ret_motion->made_first = lfourth_int(head) != 0;
	ret_motion->senders = list_nth(private, 1);
	ret_motion->receivers = list_nth(private, 2);
	ret_motion->hash_types = consts_to_oids(list_nth(private, 3));
	ret_motion->hash_collations = consts_to_oids(list_nth(private, 4));
	ret_motion->sort_columns = list_nth(private, 5);
	ret_motion->sort_operators = consts_to_oids(list_nth(private, 6));
	ret_motion->sort_collations = consts_to_oids(list_nth(private, 7));
	ret_motion->sort_nulls_first = list_nth(private, 8);
}
