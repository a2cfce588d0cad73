-- SPDX-License-Identifier: Apache-2.0
-- What the dictionary of a node says, in a form that can be compared between nodes:
-- without OIDs, without what only one node has (rows, values of sequences, temporary
-- objects, versions of columns), and without what extensions brought (their version
-- is compared).

-- Schemas of which every node has the same objects.
CREATE VIEW sluice.fingerprint_schemas AS
SELECT oid, nspname FROM pg_catalog.pg_namespace
WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'sluice');

CREATE FUNCTION sluice.fingerprint_acl(acl aclitem[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog
AS $$ SELECT string_agg(item::text, ',' ORDER BY item::text) FROM unnest(acl) item $$;

CREATE FUNCTION sluice.fingerprint_relations(OUT kind text, OUT name text, OUT fingerprint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog
AS $$
	SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
			WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'composite type'
			WHEN 'f' THEN 'foreign table' ELSE 'table' END,
		format('%I.%I', n.nspname, c.relname),
		concat_ws('|', c.relkind, c.relpersistence, c.relowner::regrole,
			sluice.fingerprint_acl(c.relacl), c.reloptions::text, c.relrowsecurity,
			c.relforcerowsecurity, c.relreplident, c.reloftype::regtype, am.amname,
			CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
			pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
			(SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno)
			FROM pg_inherits i WHERE i.inhrelid = c.oid),
			(SELECT concat_ws(',', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement,
				s.seqmin, s.seqmax, s.seqcycle)
			FROM pg_sequence s WHERE s.seqrelid = c.oid),
			(SELECT label FROM pg_seclabel l WHERE l.classoid = 'pg_class'::regclass
				AND l.objoid = c.oid AND l.objsubid = 0 AND l.provider = 'sluice'),
			(SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
				a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attcompression,
				a.attcollation::regcollation, sluice.fingerprint_acl(a.attacl),
				(SELECT string_agg(o, ',' ORDER BY o) FROM unnest(a.attoptions) o
				WHERE o NOT LIKE 'pg\_attver=%'), pg_get_expr(d.adbin, d.adrelid)), ',' ORDER BY a.attnum)
			FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid
				AND d.adnum = a.attnum
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
	FROM pg_class c JOIN sluice.fingerprint_schemas n ON n.oid = c.relnamespace
	LEFT JOIN pg_am am ON am.oid = c.relam
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'c', 'f')
	UNION ALL
	SELECT 'index', format('%I.%I', n.nspname, c.relname),
		concat_ws('|', pg_get_indexdef(c.oid), i.indisvalid, i.indisclustered, i.indisreplident)
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	JOIN sluice.fingerprint_schemas n ON n.oid = c.relnamespace
	UNION ALL
	SELECT 'constraint', concat_ws(' on ', quote_ident(o.conname),
			coalesce(nullif(o.conrelid, 0)::regclass::text, o.contypid::regtype::text)),
		concat_ws('|', pg_get_constraintdef(o.oid), o.convalidated)
	FROM pg_constraint o JOIN sluice.fingerprint_schemas n ON n.oid = o.connamespace
	WHERE o.conparentid = 0
	UNION ALL
	SELECT 'rule', format('%I on %s', r.rulename, r.ev_class::regclass), pg_get_ruledef(r.oid)
	FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
	JOIN sluice.fingerprint_schemas n ON n.oid = c.relnamespace
	WHERE r.rulename <> '_RETURN'
	UNION ALL
	SELECT 'trigger', format('%I on %s', t.tgname, t.tgrelid::regclass), pg_get_triggerdef(t.oid)
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
	JOIN sluice.fingerprint_schemas n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal
	UNION ALL
	SELECT 'policy', format('%I on %s', p.polname, p.polrelid::regclass),
		concat_ws('|', p.polcmd, p.polpermissive, (SELECT string_agg(role::regrole::text, ','
			ORDER BY role::regrole::text) FROM unnest(p.polroles) role),
			pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM pg_policy p
	UNION ALL
	SELECT 'statistics', s.stxnamespace::regnamespace || '.' || quote_ident(s.stxname),
		pg_get_statisticsobjdef(s.oid)
	FROM pg_statistic_ext s JOIN sluice.fingerprint_schemas n ON n.oid = s.stxnamespace
$$;

CREATE FUNCTION sluice.fingerprint_others(OUT kind text, OUT name text, OUT fingerprint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog
AS $$
	SELECT 'schema', quote_ident(nspname),
		concat_ws('|', nspowner::regrole, sluice.fingerprint_acl(nspacl))
	FROM pg_namespace JOIN sluice.fingerprint_schemas USING (oid, nspname)
	UNION ALL
	SELECT 'function', p.oid::regprocedure::text,
		concat_ws('|', p.prokind, l.lanname, p.proowner::regrole, pg_get_function_result(p.oid),
			pg_get_function_arguments(p.oid), p.provolatile, p.proisstrict, p.prosecdef,
			p.proleakproof, p.proparallel, p.procost, p.prorows, p.proconfig::text,
			sluice.fingerprint_acl(p.proacl), p.probin, p.prosrc, pg_get_function_sqlbody(p.oid),
			a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggtranstype::regtype, a.agginitval)
	FROM pg_proc p JOIN sluice.fingerprint_schemas n ON n.oid = p.pronamespace
	JOIN pg_language l ON l.oid = p.prolang LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
	WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
		AND d.objid = p.oid AND d.deptype = 'e')
	UNION ALL
	SELECT 'type', t.oid::regtype::text,
		concat_ws('|', t.typtype, t.typowner::regrole, sluice.fingerprint_acl(t.typacl),
			format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull, t.typdefault,
			(SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
			FROM pg_enum e WHERE e.enumtypid = t.oid),
			(SELECT r.rngsubtype::regtype FROM pg_range r WHERE r.rngtypid = t.oid))
	FROM pg_type t JOIN sluice.fingerprint_schemas n ON n.oid = t.typnamespace
	WHERE t.typtype IN ('e', 'd', 'r', 'b') AND t.typelem = 0
	UNION ALL
	SELECT 'operator', o.oid::regoperator::text,
		concat_ws('|', o.oprowner::regrole, o.oprcode, o.oprcanmerge, o.oprcanhash,
			nullif(o.oprcom, 0)::regoperator, nullif(o.oprnegate, 0)::regoperator)
	FROM pg_operator o JOIN sluice.fingerprint_schemas n ON n.oid = o.oprnamespace
	UNION ALL
	SELECT i.type, i.identity, ''
	FROM (SELECT 'pg_opclass'::regclass AS class, oid FROM pg_opclass WHERE oid >= 16384
		UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily WHERE oid >= 16384
		UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast WHERE oid >= 16384
		UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation WHERE oid >= 16384
		UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config WHERE oid >= 16384
		UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict WHERE oid >= 16384
		UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
		UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
		) o, LATERAL pg_identify_object(o.class, o.oid, 0) i
	UNION ALL
	SELECT 'extension', quote_ident(extname), concat_ws('|', extversion, extowner::regrole)
	FROM pg_extension
	UNION ALL
	SELECT 'language', quote_ident(lanname), concat_ws('|', lanowner::regrole, lanpltrusted)
	FROM pg_language
	UNION ALL
	SELECT 'default privileges', concat_ws(' ', defaclrole::regrole,
			nullif(defaclnamespace, 0)::regnamespace, defaclobjtype),
		sluice.fingerprint_acl(defaclacl)
	FROM pg_default_acl
	UNION ALL
	SELECT 'role', rolname::text, concat_ws('|', rolsuper, rolinherit, rolcreaterole,
		rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil)
	FROM pg_roles WHERE rolname !~ '^pg_'
	UNION ALL
	SELECT 'membership', format('%s in %s', member::regrole, roleid::regrole), admin_option::text
	FROM pg_auth_members
	UNION ALL
	SELECT 'database', datname::text, concat_ws('|', datdba::regrole,
		pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider, daticulocale)
	FROM pg_database WHERE datname = current_database()
	UNION ALL
	SELECT 'comment', i.type || ' ' || i.identity, d.description
	FROM pg_description d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
	WHERE d.objoid >= 16384 AND d.classoid <> 'pg_event_trigger'::regclass AND i.identity !~ '\mpg_(temp|toast)'
$$;

CREATE FUNCTION sluice.catalog_fingerprint(OUT kind text, OUT name text, OUT fingerprint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog
AS $$
	SELECT kind, name, md5(fingerprint)
	FROM (SELECT * FROM sluice.fingerprint_relations()
		UNION ALL SELECT * FROM sluice.fingerprint_others()) f
	ORDER BY kind, name
$$;
COMMENT ON FUNCTION sluice.catalog_fingerprint() IS
	'the dictionary of this node, to compare with that of another (sluice check)';
