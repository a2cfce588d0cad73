-- SPDX-License-Identifier: Apache-2.0
-- Between a QD and its QEs, and distributed transactions.

-- Makes the session of a QE like that of its QD; returns its cancel key.
CREATE FUNCTION sluice.qe_settings(secret text, session_user_name text, user_name text,
	security_context int, settings text[])
RETURNS int LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'mpp_qe_settings';

-- A QE's question, to which only the coordinator of its cluster knows the answer.
CREATE FUNCTION sluice.qe_nonce() RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'mpp_qe_nonce';

-- Distributed transactions that the coordinator has decided to commit. A row lives
-- until no segment has the transaction prepared any more.
CREATE TABLE sluice.dtx_decision (gid text PRIMARY KEY) USING heap;
REVOKE ALL ON sluice.dtx_decision FROM PUBLIC;

-- Runs one SQL statement on every segment, in the transaction, as a writer; returns
-- the sum of the row counts. For administration and tests.
CREATE FUNCTION sluice.run_on_segments(command text) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mpp_run_on_segments';
REVOKE ALL ON FUNCTION sluice.run_on_segments(text) FROM PUBLIC;
