/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - objects by name: their OIDs differ between the servers of a cluster.
 * The sender of a plan gives each object it refers to a number and its name; the
 * receiver finds its own OIDs of these names.
 */
#ifndef EXECUTOR_EXEC_NAMES_H
#define EXECUTOR_EXEC_NAMES_H

#include <postgres.h>

#include <lib/stringinfo.h>

/* OIDs below are the same on every server of one version: they are given when the
 * catalogs are built. Others are counted out at initdb or later. */
#define MPP_FIRST_NAMED_OID FirstUnpinnedObjectId

/* ---- sender ---- */

typedef struct MppNames MppNames;

extern MppNames *mpp_names_create(void); /* in the current memory context */

/* Number of an object, from 0. class_id is the OID of its catalog; of a value of
 * an enum EnumRelationId. ERROR when there is no such object. */
extern int mpp_names_add(MppNames *names, Oid class_id, Oid object_id);
extern void mpp_names_write(const MppNames *names, StringInfo message);

/* ---- receiver ---- */

/* OIDs by number. ERROR when a name is not there. */
extern Oid *mpp_names_read(StringInfo message, int *ret_count);

/* ---- by mpp_exec_init() ---- */
extern void mpp_names_init(void);

#endif
