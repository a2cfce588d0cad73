# SPDX-License-Identifier: Apache-2.0
#
# agents.sh - for scripts in guests to source: agents that speak verbs, checks that
# say what they check, and the times things took.

failures=0

# check WHAT COMMAND...: run it, say how it went.
check()
{
	local what=$1
	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "FAILED: $what"
		failures=$((failures + 1))
	fi
}

now_ms()
{
	local up
	read -r up _ </proc/uptime
	echo $((10#${up/./} * 10))
}

# until_true SECONDS COMMAND...: until it succeeds; fails when that takes longer.
until_true()
{
	local deadline=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(now_ms)" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

# agent_start NODE CONTROL PEER PEER_CONTROL [LINE-OF-[driver]...]
# An agent in /tmp/NODE, whose peer is PEER; both CONTROLs are HOST:PORT. $agent_lines
# are further ones of [agent].
agent_lines='peer_timeout = 15s'
agent_start()
{
	local node=$1 control=$2 peer=$3 peer_control=$4
	shift 4
	mkdir -p "/tmp/$node"
	{
		printf '[agent]\nnode = %s\ncluster_id = 42\nsocket = /tmp/%s/sock\n' "$node" "$node"
		printf 'keepalive = 500ms\nlog_level = debug\n%s\n' "$agent_lines"
		printf '[arena]\nsize = 96M\nframe_size = 16k\nmax_channels = 32\n'
		printf 'receive_frames = 1024\nwindow_max = 256\nhugepages = never\nnuma = off\n'
		printf '[control]\nlisten = %s\nauth = none\nauth_none_anywhere = yes\n' "$control"
		printf '[driver]\n'
		printf '%s\n' "$@"
		printf '[peer %s]\naddress = %s\n' "$peer" "$peer_control"
	} >"/tmp/$node/conf"
	agent_again "$node"
}

# The same once more, after it was killed.
agent_again()
{
	local node=$1
	: >"/tmp/$node/ready"
	sluiced --config "/tmp/$node/conf" >"/tmp/$node/ready" 2>>"/tmp/$node/log" &
	eval "agent_$node=$!"
	until_true 60 grep -q ready "/tmp/$node/ready" || {
		cat "/tmp/$node/log"
		return 1
	}
}

# Ends by itself, or is killed after a while: then it fails.
agent_stop()
{
	local pid
	eval "pid=\$agent_$1"
	kill "$pid"
	until_true 10 eval "! kill -0 $pid 2>/dev/null" && return 0
	kill -9 "$pid"
	return 1
}

# logged NODE COUNT PATTERN: the agent has logged it that often.
logged()
{
	[ "$(grep -c "$3" "/tmp/$1/log")" -ge "$2" ]
}

log_count()
{
	grep -c "$2" "/tmp/$1/log"
}

# The end of a script: what the agents said when something failed.
finish()
{
	local node
	if [ "$failures" -ne 0 ]; then
		for node in "$@"; do
			echo "== log of $node"
			tail -n 60 "/tmp/$node/log"
		done
		dmesg | tail -n 15
	fi
	[ "$failures" -eq 0 ]
}
