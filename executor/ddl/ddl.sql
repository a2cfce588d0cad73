-- SPDX-License-Identifier: Apache-2.0
-- What the coordinator asks segments for, to know the tables of the cluster.

-- On a segment: a random sample of a table's rows there, in the table's order.
CREATE FUNCTION sluice.sample_rows(relation regclass, row_count int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mpp_sample_rows';
