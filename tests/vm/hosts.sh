# SPDX-License-Identifier: Apache-2.0
#
# hosts.sh - two guests, one agent each, two rails: faults of links, devices,
# processes and agents across hosts. Both run this script; they meet by streams of
# rows that one sends and the other receives. Argument: how long a slow receiver
# rests, in ms.
. /bin/agents.sh
rest_ms=${1:-3000}
me=h$VM_HOST other_host=$((3 - VM_HOST))
other=h$other_host
on_first=$((VM_HOST == 1))

agent_begin()
{
	agent_start "$me" "10.77.0.$VM_HOST:7001" "$other" "10.77.0.$other_host:7001" \
		"listen = 10.77.0.$VM_HOST:7434,10.78.0.$VM_HOST:7434" "$@"
}

# rows NUMBER FROM-HOST ROWS [PAUSE_MS]: our end of a stream. In the background it
# is $!, not a shell of its own, so that signals reach it.
rows()
{
	local direction=recv
	[ "$2" = "$VM_HOST" ] && direction=send
	set -- vm-rows "/tmp/$me/sock" "$other" $direction "$1" "$3" ${4:+"$4"}
	if [ "$BASHPID" = $$ ]; then
		"$@"
	else
		exec "$@"
	fi
}

# Both hosts come here, then both go on.
meeting=5000
meet()
{
	meeting=$((meeting + 2))
	rows $meeting 1 1 >/tmp/meet.1 &
	rows $((meeting + 1)) 2 1 >/tmp/meet.2 && wait $! && return 0
	cat /tmp/meet.?
	echo 'FAILED: the hosts do not meet any more'
	failures=$((failures + 1))
	finish "$me"
	exit 1
}

# same_count NUMBER FROM-HOST FILE: both hosts moved as many rows on a stream: a short
# one, of a length made from that, is whole.
same_count()
{
	local count
	count=$(sed -n 's/.* \([0-9]*\) rows,.*/\1/p' "$3")
	[ "$count" -gt 0 ] && rows "$1" "$2" $((count % 997 + 1)) >/tmp/count && return 0
	cat /tmp/count
	return 1
}

# Streams both ways while COMMAND... runs. All rows must arrive.
number=0
streams_while()
{
	local result=0 pids=()
	number=$((number + 4))
	rows $number 1 - >/tmp/rows.1 & pids+=($!)
	rows $((number + 1)) 2 - >/tmp/rows.2 & pids+=($!)
	"$@" || { echo "$*: failed"; result=1; }
	kill "${pids[VM_HOST - 1]}"
	wait "${pids[0]}" || result=1
	wait "${pids[1]}" || result=1
	cat /tmp/rows.?
	same_count $((number + 2)) 1 /tmp/rows.1 || result=1
	same_count $((number + 3)) 2 /tmp/rows.2 || result=1
	return $result
}

# The first host's link goes; the second one's port does not notice.
cable_pulled()
{
	local lost up start
	lost=$(log_count "$me" event=session_lost) up=$(log_count "$me" event=session_up)
	if [ $on_first = 1 ]; then
		sleep 2
		ip link set "$1" down
		sleep "$2"
		ip link set "$1" up
	fi
	until_true 20 logged "$me" $((lost + 1)) event=session_lost || return 1
	start=$(now_ms)
	until_true 20 logged "$me" $((up + 1)) event=session_up || return 1
	echo "recovery: $1 down for $2 s: $(($(now_ms) - start)) ms after it was up or noticed"
}

device_removed()
{
	local up start
	[ $on_first = 0 ] || { sleep 3; return; }
	sleep 1
	up=$(log_count "$me" event=session_up) start=$(now_ms)
	timeout 10 rdma link delete rxe1 || return 1
	rdma link add rxe1 type rxe netdev eth1 || return 1
	until_true 15 logged "$me" $((up + 1)) event=session_up || return 1
	echo "recovery: rxe1 deleted and added: $(($(now_ms) - start)) ms"
}

# told KILLER VICTIM-NUMBER FROM-HOST: a process of host KILLER is killed amid its
# stream; the other's end is told so, with a reason, within 5 s of the last row.
told()
{
	local result quiet
	if [ "$1" = "$VM_HOST" ]; then
		rows "$2" "$3" - >/tmp/told &
		sleep 1.5
		kill -USR1 $!
		wait $!
		return 0
	fi
	rows "$2" "$3" - >/tmp/told
	result=$?
	cat /tmp/told
	quiet=$(sed -n 's/.*quiet \([0-9]*\) ms.*/\1/p' /tmp/told)
	echo "recovery: told of a killed process ${quiet} ms after its last row"
	[ $result -eq 3 ] && [ "$quiet" -le 5000 ]
}

# As told, but the agent of host KILLER is killed, and started again: its peer knows
# when connects to it are refused for long enough, or when it is back.
agent_killed()
{
	local result quiet pid
	rows "$2" "$1" - >/tmp/told &
	if [ "$1" = "$VM_HOST" ]; then
		sleep 1.5
		eval "pid=\$agent_$me"
		kill -9 "$pid"
		wait $!
		agent_again "$me"
		return
	fi
	wait $!
	result=$?
	cat /tmp/told
	quiet=$(sed -n 's/.*quiet \([0-9]*\) ms.*/\1/p' /tmp/told)
	echo "recovery: told of a killed agent ${quiet} ms after its last row"
	[ $result -eq 3 ] && [ "$quiet" -le 17000 ]
}

fault_driver()
{
	local up
	up=$(log_count "$me" event=peer_up)
	agent_stop "$me" || return 1
	agent_begin 'name = fault:verbs' "fault_seed = $VM_HOST" \
		'fault_session_loss_per_million = 20000' 'fault_delay_ns_max = 1000000' \
		'fault_again_per_million = 20000' 'fault_sent_late_ns_max = 1000000' \
		'fault_connect_refuse_per_million = 200000' || return 1
	# The other one is started again too: what is opened before it is lost.
	until_true 60 logged "$me" $((up + 1)) event=peer_up
	sleep 5
}

check 'the agent starts' agent_begin 'name = verbs'
check 'the hosts find each other' until_true 120 grep -q event=peer_up "/tmp/$me/log"
meet
check 'a cable is pulled for 4 s, all rows arrive' streams_while cable_pulled eth1 4
meet
check 'links of all cables are down for 0.5 s, all rows arrive' \
	streams_while cable_pulled eth0 0.5
meet
check 'a device is removed under load, all rows arrive' streams_while device_removed
meet
check 'a killed sender is told of' told 1 100 1
check 'a killed receiver is told of' told 1 101 2
check 'a killed sender of the other host is told of' told 2 102 2
check 'a killed receiver of the other host is told of' told 2 103 1
check 'a killed agent is told of' agent_killed 1 104
meet
check 'a killed agent of the other host is told of' agent_killed 2 105
meet
check "a receiver rests for $rest_ms ms and its sender waits" \
	rows 106 1 3000 "$([ $on_first = 1 ] || echo "$rest_ms")"
meet
check 'the agent starts with a driver that loses sessions' fault_driver
lost=$(log_count "$me" event=session_lost)
check 'all rows arrive all the same' streams_while sleep 5
check 'sessions were lost' logged "$me" $((lost + 3)) event=session_lost
meet
check 'the agent stops' agent_stop "$me"
finish "$me"
