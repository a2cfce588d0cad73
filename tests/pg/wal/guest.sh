# SPDX-License-Identifier: Apache-2.0
#
# guest.sh - in a guest: streaming replication whose WAL goes by verbs, between two
# agents over the soft-RoCE device. See in-guest.
. /bin/agents.sh

bin=/tmp/pg/lib/postgresql/15/bin
tar -C /tmp -xzf /bin/pg.tgz
echo 'postgres:x:101:104::/tmp:/bin/sh' >>/etc/passwd
echo 'postgres:x:104:' >>/etc/group
mkdir -p /tmp/sockets
chown -R postgres:postgres /tmp/data /tmp/sockets
chmod 1777 /dev/shm /tmp
chmod 666 /dev/null

# pg PROGRAM ARGUMENT...: as the user postgres.
pg()
{
	local line
	printf -v line ' %q' "$bin/$1" "${@:2}"
	busybox su postgres -c "cd /tmp && $line"
}

ask()
{
	pg psql -XAt -h /tmp/sockets -p "$1" -U postgres -c "$2"
}

settings()
{
	cat <<-END
		port = $1
		listen_addresses = '127.0.0.1'
		unix_socket_directories = '/tmp/sockets'
		log_timezone = 'GMT'
		timezone = 'GMT'
		dynamic_shared_memory_type = mmap
		shared_buffers = 16MB
		fsync = off
		wal_keep_size = 256MB
		wal_retrieve_retry_interval = 200ms
		shared_preload_libraries = 'sluice_walstream'
		dynamic_library_path = '\$libdir/sluice:\$libdir'
		sluice.walstream = 'require'
		sluice.walstream_socket = '/tmp/$2/sock'
		sluice.walstream_cluster_id = '42'
	END
}

# Without it there is nothing to try.
server_start()
{
	pg pg_ctl -D "/tmp/data/$1" -l "/tmp/data/$1.log" -w -t 120 start >/dev/null && return 0
	cat "/tmp/data/$1.log"
	echo "FAILED: the $1 starts"
	exit 1
}

streams()
{
	[ "$(ask 5001 "select driver from sluice.stat_walstream join pg_stat_replication using (pid)
		where state = 'streaming'")" = network ]
}

rows_equal()
{
	local sum="select count(*), md5(string_agg(a::text || b, ',' order by a)) from t"
	local end
	end=$(ask 5001 'select pg_current_wal_lsn()')
	until_true 60 eval "[ \"\$(ask 5002 \"select pg_last_wal_replay_lsn() >= '$end'\")\" = t ]" &&
		[ "$(ask 5001 "$sum")" = "$(ask 5002 "$sum")" ]
}

insert()
{
	ask 5001 "insert into t select g, repeat(md5(g::text), 10) from generate_series($1, $2) g" >/dev/null
}

agent_lines='peer_timeout = 15s
allow_users = 0,101'
check 'agent a starts' agent_start a 127.0.0.1:7001 b 127.0.0.1:7002 'name = verbs' 'listen = 10.77.0.1:7434'
check 'agent b starts' agent_start b 127.0.0.1:7002 a 127.0.0.1:7001 'name = verbs' 'listen = 10.77.0.1:7435'

settings 5001 a >>/tmp/data/primary/postgresql.conf
server_start primary
ask 5001 'create extension sluice_walstream; create table t (a int primary key, b text)' >/dev/null
pg pg_basebackup -D /tmp/data/standby -R -c fast -X stream \
	-d 'host=127.0.0.1 port=5001 user=postgres application_name=standby'
settings 5002 b >>/tmp/data/standby/postgresql.conf
server_start standby
check 'it streams over Sluice' until_true 120 streams
ask 5001 "alter system set synchronous_standby_names = '*'" >/dev/null
ask 5001 'select pg_reload_conf()' >/dev/null

check 'a synchronous commit returns' insert 1 100
check 'single commits return' eval 'for row in $(seq 101 110); do insert $row $row || exit 1; done'
check 'bulk arrives' insert 1000 6000
check 'rows are equal' rows_equal

agent_stop b
check 'it was verbs that moved it' until_true 10 grep -q 'reason="verbs rxe0' /tmp/a/log
agent_again b
check 'it streams again after the agent was stopped' until_true 90 streams
check 'commits go on' insert 30000 31000
kill -9 "$(ask 5002 'select pid from pg_stat_wal_receiver')"
check 'it streams again after the walreceiver was killed' until_true 90 streams
check 'commits go on' insert 40000 41000
check 'rows are equal' rows_equal

pg pg_ctl -D /tmp/data/primary -m fast -w stop >/dev/null
pg pg_ctl -D /tmp/data/standby -m fast -w stop >/dev/null
checkpoint=$(pg pg_controldata /tmp/data/primary | sed -n 's/^Latest checkpoint location: *//p')
check 'the shutdown checkpoint was shipped' eval \
	"pg pg_waldump -p /tmp/data/standby/pg_wal -s $checkpoint -n 1 | grep -q CHECKPOINT_SHUTDOWN"
check 'page checksums are right' pg pg_checksums --check -D /tmp/data/standby
[ "$failures" -eq 0 ] || tail -n 30 /tmp/data/*.log
finish a b
