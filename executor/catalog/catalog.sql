-- SPDX-License-Identifier: Apache-2.0
-- The cluster and its tables, as SQL sees them. Part of the extension's script.

-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION sluice" to load this file. \quit
