# SPDX-License-Identifier: Apache-2.0
#
# compare.sh - bench/compare-verbs over the device of the guest. Whether a bar is
# reached depends on the machine, but not whether every ratio is there, nor that no
# payload is copied. Arguments: those of compare-verbs.
compare-verbs "$@" | tee /tmp/output
[ "${PIPESTATUS[0]}" = 0 ] || exit 1
case " $* " in *' --only '* | *' --help '*) exit 0 ;; esac
for name in goodput_64k_vs_ib_send_bw goodput_8k_vs_ib_send_bw latency_vs_ib_send_lat; do
	grep -Eq "^ratio $name [0-9.]+ [0-9.]+ [0-9.]+\$" /tmp/output || exit 1
done
grep -qx 'ratio cpu_copied_bytes 0 0 0' /tmp/output
