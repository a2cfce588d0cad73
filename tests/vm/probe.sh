# SPDX-License-Identifier: Apache-2.0
#
# probe.sh - `sluiced --probe` with a device, without permission, and without one.
fail()
{
	echo "probe.sh: $*"
	cat /tmp/output
	exit 1
}

# has PATTERN: the output before.
has() { grep -q -- "$*" /tmp/output || fail "not there: $*"; }

sluiced --probe >/tmp/output 2>&1 || fail 'does not exit with 0'
cat /tmp/output
has 'device rxe0'
has 'port 1: active, Ethernet (RoCE), [0-9]* Mb/s, MTU 4096, interface eth0; usable$'
has 'GID [0-9 ]*RoCE v2 *10.77.0.1 on eth0, the one to connect by'
has 'would use rxe0 port 1, 10.77.0.1: active'

sluiced --probe --json >/tmp/output 2>&1 || fail 'does not exit with 0 with --json'
has '"device": "rxe0"'
has '"address": "10.77.0.1"'
has '"usable": true'

printf '[agent]\ncluster_id = 1\n[driver]\nname = verbs\nlisten = [fd77::1]:7434\n' >/tmp/conf
sluiced --probe --config /tmp/conf >/tmp/output 2>&1 || fail 'does not exit with 0 with listen'
has 'would use rxe0 port 1, because listen = \[fd77::1\]:7434'
sed -i 's/fd77::1/fd77::99/' /tmp/conf
sluiced --probe --config /tmp/conf >/tmp/output 2>&1 && fail 'an address of nobody is good'
has 'would use nothing: listen = \[fd77::99\]:7434: not the address of an RDMA port'
printf '[agent]\ncluster_id = 1\n[driver]\nname = tcp\n' >/tmp/conf
sluiced --probe --config /tmp/conf >/tmp/output 2>&1 || fail 'tcp is not good'
has 'needs no device'

ip link set eth0 down
sluiced --probe >/tmp/output 2>&1 && fail 'a port that is down is good'
has 'not usable: the port is down'
has 'would use nothing: no port is active'
ip link set eth0 up

echo 'nobody:x:65534:65534::/:/bin/sh' >/etc/passwd
chmod 600 /dev/infiniband/*
su -s /bin/sh nobody -c 'sluiced --probe' >/tmp/output 2>&1 && fail 'no permission is good'
cat /tmp/output
has 'device rxe0: cannot be opened: Permission denied'
has 'would use nothing: no permission for the devices'

rdma link delete rxe0
sluiced --probe >/tmp/output 2>&1 && fail 'no device is good'
cat /tmp/output
has 'would use nothing: there is no RDMA device'
exit 0
