/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the network of the loop driver: instances of one process and thread
 * that give it as their environment (slu_driver_config) reach each other. What
 * one flushes is there at the other's next poll, in an order that is the same
 * in every run.
 */
#ifndef DRIVERS_LOOP_LOOP_H
#define DRIVERS_LOOP_LOOP_H

struct slu_loop;

/* Returned owned; NULL: no memory. */
struct slu_loop *slu_loop_create(void);

/* Takes loop. Every instance must be closed before. */
void slu_loop_destroy(struct slu_loop *loop);

#endif
