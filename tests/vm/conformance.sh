# SPDX-License-Identifier: Apache-2.0
#
# conformance.sh - the suite of tests/driver over the device of the guest.
# Arguments: fixtures.
result=0
for fixture; do
	conformance "$fixture" || result=1
done
exit $result
