# SPDX-License-Identifier: Apache-2.0
#
# kill.sh - the suite of tests/kill in one guest, with two agents that speak verbs.
# They have 64 frames for receiving, hence the small window; posted are 16 and 4 for
# each of two sessions. Argument: rounds.
export KILL_POSTED=40 KILL_ROWS=3000
export SLUICED=/bin/sluiced KILL_ROUNDS=$1
export KILL_DRIVER='name = verbs
listen = 10.77.0.1:0
window_messages = 16'
test_kill
