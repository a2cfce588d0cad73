# SPDX-License-Identifier: Apache-2.0
#
# faults.sh - two agents of one guest with two rails each: what may happen to ports,
# devices, sessions and strangers, under load; then with two pollers each. vm-rows compares every row, so that
# "all rows arrive" means: none lost, doubled, out of order or harmed.
# Argument: how long a slow receiver rests, in ms.
. /bin/agents.sh
rest_ms=${1:-3000}
number=0

both_agents()
{
	agent_start a 127.0.0.1:7001 b 127.0.0.1:7002 "$@" &&
		agent_start b 127.0.0.1:7002 a 127.0.0.1:7001 "$@"
}

# Three streams of rows from a to b, until streams_end. They are the only channels,
# so that each of the two rails is home to one at least.
streams_start()
{
	local stream
	streams=()
	for stream in 1 2 3; do
		number=$((number + 1))
		vm-rows /tmp/a/sock b send $number - >/tmp/rows.$stream.a &
		streams+=($!)
		vm-rows /tmp/b/sock a recv $number - >/tmp/rows.$stream.b &
		streams+=($!)
	done
}

moved_rows()
{
	sed -n 's/.* \([0-9]*\) rows,.*/\1/p' "/tmp/rows.$1"
}

streams_ended()
{
	local stream
	for stream in "${streams[@]}"; do
		! kill -0 "$stream" 2>/dev/null || return 1
	done
}

# As many rows as were sent.
streams_end()
{
	local result=0 stream
	kill "${streams[0]}" "${streams[2]}" "${streams[4]}"
	if ! until_true 30 streams_ended; then
		echo 'streams hang'
		kill -USR1 "${streams[@]}"
	fi
	for stream in "${streams[@]}"; do
		wait "$stream" || result=1
	done
	cat /tmp/rows.?.?
	for stream in 1 2 3; do
		[ "$(moved_rows $stream.a)" = "$(moved_rows $stream.b)" ] || result=1
	done
	return $result
}

streams_run()
{
	local stream
	for stream in "${streams[@]}"; do
		kill -0 "$stream" 2>/dev/null || return 1
	done
}

# recovered WHAT SINCE_MS COUNT: until a has had that many sessions come up.
recovered()
{
	local what=$1 since=$2
	until_true 15 logged a "$3" event=session_up || return 1
	echo "recovery: $what: $(($(now_ms) - since)) ms"
}

device_is_gone()
{
	! ibv_devinfo -d "$1" >/dev/null 2>&1
}

link_flap()
{
	local up
	up=$(log_count a event=session_up)
	ip link set eth0 down && ip link set eth1 down || return 1
	sleep "$1"
	ip link set eth0 up && ip link set eth1 up || return 1
	recovered "both links down for $1 s and up" "$(now_ms)" $((up + 3))
}

# A stream from its begin to its end.
stream_whole()
{
	local result=0
	number=$((number + 1))
	vm-rows /tmp/a/sock b send $number 1000 >/tmp/whole.1 &
	vm-rows /tmp/b/sock a recv $number 1000 >/tmp/whole.2 || result=1
	wait $! || result=1
	[ $result -eq 0 ] || cat /tmp/whole.?
	return $result
}

packets()
{
	cat "/sys/class/infiniband/$1/ports/1/hw_counters/sent_pkts"
}

carries_packets()
{
	[ "$(packets "$1")" -gt "$2" ]
}

# one_rail_down INTERFACE DEVICE
one_rail_down()
{
	local lost up
	lost=$(log_count a event=session_lost) up=$(log_count a event=session_up)
	ip link set "$1" down
	until_true 5 logged a $((lost + 1)) event=session_lost && stream_whole || return 1
	ip link set "$1" up
	recovered "$1 down and up, the other rail carries on" "$(now_ms)" $((up + 1)) || return 1
	# Channels that never rest go home too: far more than an idle session says.
	until_true 20 carries_packets "$2" $(($(packets "$2") + 500))
}

device_removed()
{
	local up start
	up=$(log_count a event=session_up) start=$(now_ms)
	timeout 10 rdma link delete "$1" || return 1
	echo "removal of $1: $(($(now_ms) - start)) ms"
	device_is_gone "$1" || return 1
	rdma link add "$1" type rxe netdev "$2" || return 1
	recovered "$1 deleted and added" "$(now_ms)" $((up + 1))
}

reason_names_port()
{
	grep -q "event=session_lost.*verbs rxe[01] port 1, peer .*$1" /tmp/[ab]/log
}

stranger_is_refused()
{
	vm-stray 10.77.0.1 7434 && until_true 5 grep -q event=session_refused /tmp/[ab]/log
}

rping_is_refused()
{
	! timeout 10 rping -c -a 10.77.0.1 -p 7434 -C 1 >/tmp/rping 2>&1
}

slow_receiver()
{
	local result=0
	vm-rows /tmp/a/sock b send 900 4000 >/tmp/rows.1 &
	vm-rows /tmp/b/sock a recv 900 4000 "$rest_ms" >/tmp/rows.2 || result=1
	wait $! || result=1
	cat /tmp/rows.2
	return $result
}

# With nothing left to reach the peer by, both ends of a channel are told why.
unreachable()
{
	local result=0 start sender
	number=$((number + 1))
	vm-rows /tmp/a/sock b send $number - >/tmp/rows.1 &
	sender=$!
	vm-rows /tmp/b/sock a recv $number - >/tmp/rows.2 &
	sleep 1
	start=$(now_ms)
	ip link set eth0 down && ip link set eth1 down
	wait $!
	[ $? = 3 ] || result=1
	wait "$sender"
	[ $? = 3 ] || result=1
	echo "told after $(($(now_ms) - start)) ms, of them 4000 ms peer_timeout"
	ip link set eth0 up && ip link set eth1 up
	cat /tmp/rows.[12]
	# Whichever agent gives up first tells both ends.
	[ $result = 0 ] && grep -q 'no session with host [ab] for .* s: verbs rxe[01] port 1' /tmp/rows.1
}

check 'two agents with two rails start' both_agents 'name = verbs' \
	'listen = 10.77.0.1:7434,10.78.0.1:7434'
streams_start
check 'sessions come up' until_true 15 logged a 3 event=session_up
check 'a stray RDMA client gets nothing' stranger_is_refused
check 'rping gets nothing' rping_is_refused
check 'a short loss of both links is survived' link_flap 0.3
check 'a loss of both links is survived' link_flap 2
check 'a dead rail is failed over' one_rail_down eth0 rxe0
check 'the other one too' one_rail_down eth1 rxe1
check 'a device is removed under load and comes back' device_removed rxe0 eth0
check 'and the other' device_removed rxe1 eth1
check 'reasons name device, port and what happened' reason_names_port 'the device was removed'
check 'the streams still run' streams_run
check 'all rows arrive, once and in order' streams_end
check "a receiver rests for $rest_ms ms and its sender waits" slow_receiver
check 'urgent messages do not wait behind bulk' \
	vm-urgent /tmp/a/sock /tmp/b/sock a b
check 'agent a stops' agent_stop a
check 'agent b stops' agent_stop b

agent_lines='pollers = 2
peer_timeout = 4s'
check 'agents with two pollers each start' both_agents 'name = verbs' \
	'listen = 10.77.0.1:7434,10.78.0.1:7434'
check 'a stream is whole' stream_whole
check 'another one too' stream_whole
check 'a device that pollers share is removed and comes back' device_removed rxe0 eth0
check 'a stream is whole' stream_whole
check 'a RESET names device, port and reason' unreachable
check 'a stream is whole' stream_whole
check 'agent a stops' agent_stop a
check 'agent b stops' agent_stop b
finish a b
