/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - the fault-injecting wrapper, for the registry: a driver behind the
 * same table, whose sessions break, refuse, stall and garble as often as its
 * fault_* options say, repeatably from fault_seed. README.md has the options.
 */
#ifndef DRIVERS_FAULT_FAULT_H
#define DRIVERS_FAULT_FAULT_H

#include "transport/driver.h"

/* Every op but open, which needs to know the wrapped driver. */
extern const struct slu_driver_ops slu_fault_ops;

/* The open op over inner, which is borrowed until close. */
int slu_fault_open(const struct slu_driver_ops *inner, const struct slu_driver_config *config,
                   const struct slu_driver_host *host, struct slu_driver **ret_driver);

/* What is left of a driver's caps behind the wrapper: it may corrupt messages,
 * so integrity is never the link's. */
uint32_t slu_fault_caps(uint32_t inner_caps);

#endif
