# SPDX-License-Identifier: Apache-2.0
#
# ipv6.sh - two agents of one guest over IPv6. Linux takes the addresses of an
# interface away with its link: the rail comes back with its address.
. /bin/agents.sh

both_agents()
{
	agent_start a 127.0.0.1:7001 b 127.0.0.1:7002 "$@" &&
		agent_start b 127.0.0.1:7002 a 127.0.0.1:7001 "$@"
}

link_without_address()
{
	local start
	ip link set eth0 down
	sleep 2
	ip link set eth0 up
	sleep 1
	ip -6 addr show dev eth0 | grep -q fd77::1 && return 1 # nothing was tried
	ip -6 addr add fd77::1/64 dev eth0
	start=$(now_ms)
	until_true 15 logged a 4 event=session_up || return 1
	echo "recovery: with the address: $(($(now_ms) - start)) ms"
}

rows_arrive()
{
	local result=0
	kill "$sender"
	wait "$sender" || result=1
	wait "$receiver" || result=1
	cat /tmp/rows.?
	return $result
}

check 'two agents start' both_agents 'name = verbs' 'listen = [fd77::1]:7434'
vm-rows /tmp/a/sock b send 1 - >/tmp/rows.1 &
sender=$!
vm-rows /tmp/b/sock a recv 1 - >/tmp/rows.2 &
receiver=$!
check 'sessions come up' until_true 15 logged a 2 event=session_up
check 'a link goes with its address and comes back with it' link_without_address
check 'all rows arrive' rows_arrive
check 'agent a stops' agent_stop a
check 'agent b stops' agent_stop b
finish a b
