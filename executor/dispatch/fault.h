/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - places where a test can make a process fail. GUC sluice.fault_point, for
 * superusers, is 'point', 'point@content', with ':error' (the default), ':kill' or
 * ':postmaster' behind it: this backend throws an error, is killed, or its postmaster
 * is. The setting reaches QEs like any other.
 */
#ifndef EXECUTOR_DISPATCH_FAULT_H
#define EXECUTOR_DISPATCH_FAULT_H

#include <postgres.h>

extern char *mpp_fault_point;

extern void mpp_fault_init(void);
extern void mpp_fault_reached(const char *point);

static inline void mpp_fault(const char *point)
{
	if (unlikely(mpp_fault_point[0] != 0))
		mpp_fault_reached(point);
}

#endif
