# SPDX-License-Identifier: Apache-2.0
#
# conformance-hosts.sh - the suite of tests/driver across two guests: the tests run on
# the first, the instances of odd numbers are on the second; then those of even
# numbers. Arguments: fixtures.
result=0 port=7500
for fixture; do
	for far in odd even; do
		port=$((port + 1))
		if [ "$VM_HOST" = 1 ]; then
			echo "== $fixture, $far instances on the second host"
			conformance --far "$far@10.77.0.2:$port" "$fixture"
		else
			conformance --serve "10.77.0.2:$port"
		fi || result=1
	done
done
exit $result
