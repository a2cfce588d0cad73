# SPDX-License-Identifier: Apache-2.0
#
# stack.sh - what the tests of verbs stand on, with two guests: each has an
# active port, and librdmacm moves data over the cable between them.
ibv_devinfo >/tmp/devinfo
grep -E 'hca_id|state|active_mtu|link_layer' /tmp/devinfo
grep -q PORT_ACTIVE /tmp/devinfo || exit 1
if [ "$VM_HOST" = 1 ]; then
	# It ends with its client, which judges.
	rping -s -a 10.77.0.1 -C 10
	exit 0
fi
# Nothing tells one host that the other's server is there.
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12; do
	rping -c -a 10.77.0.1 -C 10 -v >/tmp/rping && break
	sleep 1
done
cat /tmp/rping
test "$(grep -c '^ping data' /tmp/rping)" = 10
