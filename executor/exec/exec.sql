-- Slices of a distributed plan on a segment. For the coordinator alone: the first
-- argument is a secret of its session.
CREATE FUNCTION sluice.execute_slices(secret text, message bytea) RETURNS bytea
    LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME', 'mpp_execute_slices';
