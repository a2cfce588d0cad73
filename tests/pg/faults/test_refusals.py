# SPDX-License-Identifier: Apache-2.0
"""What a cluster refuses, waits for, or gives up whole: messages sent again, temporary
space that is full, segments that answer late, an agent killed under a load.

That the agent refuses a guessed token is tested in tests/agent, without servers."""
import hmac
import os
import re
import signal
import subprocess
import time

from faultcase import JOIN, ROWS, FaultCase, Statement

from cluster import Skip, main, psycopg2, wait_until
from leaks import assert_none, prepared_transactions

KILLS = int(os.environ.get("SLUICE_KILLS", "4"))
LATE_S = 2  # how long a stopped segment is seen to be waited for
REPLAY = "select sluice.execute_slices(%s, %s)"


class Refusals(FaultCase):
    """Two segments, one larger table; every test leaves them whole."""

    note_bytes = 400

    def session(self, *commands):
        connection = self.cluster.connect()
        self.addCleanup(connection.close)
        for command in commands:
            self.run_in(connection, command)
        return connection

    def run_in(self, connection, sql, *values):
        with connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else None

    def refused(self, sqlstate, connection, sql, *values):
        with self.assertRaises(psycopg2.Error) as caught:
            self.run_in(connection, sql, *values)
        self.assertEqual(caught.exception.pgcode, sqlstate, caught.exception)
        return str(caught.exception)

    # ---- messages sent again ----

    def load_and_capture(self):
        """A load, and what segment 0 was told of it: the session, its secret and the message,
        as a superuser may have them logged there."""
        self.cluster.execute("truncate sink")
        session = self.session("set log_statement = 'all'", "insert into sink select id, grp from big")
        secret, message = self.captured(0)
        return session, secret, bytes.fromhex(message)

    def captured(self, content):
        """The last message in a segment's log, and the secret it came with."""
        return wait_until(
            lambda: re.findall(r"\$1 = '([0-9a-f]{64})', \$2 = '\\x([0-9a-f]+)'", self.cluster.log(content)),
            "the message is in the log")[-1]

    def assert_loaded_once(self):
        self.assertEqual(self.cluster.query("select count(*), count(distinct id) from sink"), [(ROWS, ROWS)])

    def test_a_message_sent_again_to_its_session_is_refused(self):
        session, secret, message = self.load_and_capture()
        other = self.captured(1)[0]
        again = (f"select sluice.execute_slices(case current_setting('sluice.content') when '0' then '{secret}'"
                 f" else '{other}' end, '\\x{message.hex()}')")
        for _ in range(2):
            self.assertIn("executed only once",
                          self.refused("08P01", session, "select sluice.run_on_segments(%s)", again))
        self.assertEqual(self.run_in(session, "select count(*) from sink"), [(ROWS,)])
        session.close()
        self.assert_loaded_once()

    def test_a_message_is_refused_by_every_session_that_is_not_its_qds(self):
        session, secret, message = self.load_and_capture()
        self.refused("42501", session, REPLAY, secret, message)  # the coordinator is no QE
        session.close()
        for role in ("client", "utility", "execute"):
            other = self.cluster.connect(content=0, options=f"-c sluice.session_role={role}")
            for guess in ("", secret, secret[::-1]):
                self.refused("42501", other, REPLAY, guess, message)
            other.close()
        self.assert_loaded_once()

    def impostor(self, content):
        """A session that has the secret file of the cluster, and can prove to be its
        coordinator; and the proof."""
        thief = self.cluster.connect(content=content, options="-c sluice.session_role=execute")
        self.addCleanup(thief.close)
        path = os.path.join(self.cluster.server(content)["data_directory"], "sluice_cluster_secret")
        self.assertEqual(os.stat(path).st_mode & 0o77, 0)
        with open(path, "rb") as lines:
            key = lines.readline().strip()
        [(nonce,)] = self.run_in(thief, "select sluice.qe_nonce()")
        return thief, hmac.new(key, f"{nonce} {content}".encode(), "sha256").hexdigest()

    def test_who_does_not_know_the_clusters_secret_cannot_pose_as_the_coordinator(self):
        self.cluster.execute("create role mallory login; grant all on big, sink to mallory")
        self.cluster.execute("create role root_mallory login superuser")
        settings = "select sluice.qe_settings(%s, 'postgres', 'postgres', 0, '{}')"
        for user in ("mallory", "root_mallory"):
            for content in (0, 1):
                role = self.cluster.connect(content=content, user=user, options="-c sluice.session_role=execute")
                self.addCleanup(role.close)
                [(nonce,)] = self.run_in(role, "select sluice.qe_nonce()")
                self.assertEqual(self.run_in(role, "select sluice.qe_nonce()"), [(nonce,)])
                for guess in ("", nonce, nonce * 2, "0" * 64, "x" * 1000):
                    self.refused("42501", role, settings, guess)
                    self.refused("42501", role, REPLAY, guess, b"")
                for sql in ("select count(*) from big", "insert into sink values (1, 1)", "truncate sink",
                            "with x as (insert into sink values (1, 1) returning 1) select 1", "begin",
                            "create table mine (a int)", "copy big to stdout", "set role postgres"):
                    self.assertIn("has not proved", self.refused("42501", role, sql))
                self.assertEqual(self.run_in(role, "select current_user::text"), [(user,)])
                role.close()
        client = self.cluster.connect(content=0, user="mallory", options="-c sluice.session_role=client")
        self.refused("42501", client, "select sluice.qe_nonce()")
        self.assertEqual(self.run_in(client, "select count(*) from big where id < 0"), [(0,)])
        self.refused("25006", client, "insert into sink values (1, 1)")
        client.close()
        self.cluster.execute("revoke all on big, sink from mallory; drop role mallory, root_mallory")

    def test_a_proof_is_good_for_its_own_session_alone(self):
        first, proof = self.impostor(0)
        second, other = self.impostor(0)
        settings = "select sluice.qe_settings(%s, 'postgres', 'postgres', 0, '{}')"
        self.refused("42501", second, settings, proof)
        self.refused("42501", first, settings, other)
        self.assertIsNotNone(self.run_in(first, settings, proof))
        first.close()
        second.close()

    def test_a_cluster_whose_secrets_differ_is_told_so(self):
        path = os.path.join(self.cluster.server(1)["data_directory"], "sluice_cluster_secret")
        with open(path, encoding="ascii") as lines:
            secret = lines.read()
        try:
            self.workspace.write(path, "0" * 64 + "\n")
            self.refused("42501", self.session(), JOIN)
            os.rename(path, path + ".away")
            self.assertIn("sluice_cluster_secret", self.refused("58P01", self.session(), JOIN))
        finally:
            if os.path.exists(path + ".away"):
                os.remove(path + ".away")
            self.workspace.write(path, secret)
            os.chmod(path, 0o600)

    def test_a_stolen_message_finds_nobody_at_the_other_end_of_its_motions(self):
        session, secret, message = self.load_and_capture()
        session.close()
        self.set_rendezvous_timeout("1s")
        self.addCleanup(self.set_rendezvous_timeout, None)
        thief, secret = self.impostor(0)
        with self.assertRaises(psycopg2.Error) as caught:
            self.run_in(thief, REPLAY, secret, message)
        self.assertRegex(str(caught.exception), "no (sender|receiver) came for channel")
        thief.close()
        self.assert_loaded_once()

    def set_rendezvous_timeout(self, value):
        """In the agent's configuration; it is started anew."""
        path = os.path.join(self.cluster.directory, f"agent-{self.cluster.description['hosts'][0]['name']}",
                            "sluiced.conf")
        with open(path, encoding="utf-8") as lines:
            text = re.sub(r"rendezvous_timeout.*\n", "", lines.read())
        if value:
            text = text.replace("[agent]\n", f"[agent]\nrendezvous_timeout = {value}\n")
        self.workspace.write(path, text)
        self.cluster.kill(self.cluster.agent())
        self.cluster.start()

    def test_a_users_function_cannot_have_slices_executed(self):
        session, secret, message = self.load_and_capture()
        session.close()
        self.cluster.execute("create role mallory login; grant select on big to mallory;"
                             "create function mallory_again(s text, m bytea) returns bytea language sql"
                             " volatile as 'select sluice.execute_slices(s, m)'")
        self.cluster.execute("create function mallory_reads() returns text language sql"
                             " stable as $$select sluice.qe_settings('', 'postgres', 'postgres', 0, '{}')::text$$")
        session = self.cluster.connect(user="mallory")
        self.addCleanup(session.close)
        # Functions of a column: they run on the segments, in a QE's session.
        self.refused("42501", session, "select count(mallory_again(note || %s, %s)) from big", secret, message)
        self.refused("42501", session, "select min(mallory_reads() || note) from big")
        session.close()
        self.cluster.execute("drop function mallory_again; drop function mallory_reads;"
                             "revoke all on big from mallory; drop role mallory")
        self.assert_loaded_once()

    # ---- temporary space that is full ----

    def fill(self, content, size):
        """The temporary space of a server becomes that small."""
        directory = os.path.join(self.cluster.server(content)["data_directory"], "base", "pgsql_tmp")
        if os.geteuid() != 0:
            raise Skip("only root can mount a small temporary space")
        if not os.path.isdir(directory):
            os.mkdir(directory, 0o700)
            self.workspace.own(directory)
        user = self.workspace.user
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700,uid={user.pw_uid},"
                               f"gid={user.pw_gid}", "sluice-test", directory],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        self.workspace.at_end(f"umount -l {directory}")  # if we are killed
        self.addCleanup(subprocess.run, ["umount", "-l", directory], check=True)

    def test_a_full_disk_of_the_coordinator_fails_the_motion_that_spills(self):
        self.fill(-1, "256k")
        session = self.session("begin; set local work_mem = '64kB'; declare c cursor for select * from big")
        self.run_in(session, "fetch 1 from c")
        # The next statement needs the QEs: what they still send is taken in first.
        error = self.refused("53100", session, JOIN)
        self.assertIn("temporary file for rows", error)
        self.run_in(session, "rollback")
        self.assertEqual(self.run_in(session, JOIN), [(ROWS - ROWS // 40,)])
        session.close()

    def test_a_full_disk_of_a_segment_fails_the_query_that_spills_there(self):
        self.fill(0, "256k")
        session = self.session("set work_mem = '64kB'; set enable_hashagg = off")
        for sql in ("select count(*) from (select note, id from big order by note, id offset 0) x",
                    "select count(*), max(length(a.note || b.note)) from big a join big b on a.grp = b.id"):
            error = self.refused("53100", session, sql)
            self.assertIn("segment 0", error)
            self.assertEqual(self.run_in(session, "select count(*) from sink where id < 0"), [(0,)])
        load = "insert into sink select a.id, a.grp from big a join big b on a.note = b.note and a.grp = b.id"
        self.cluster.execute("truncate sink")
        self.refused("53100", session, load)
        self.assertEqual(self.run_in(session, "select count(*) from sink"), [(0,)])
        session.close()

    # ---- a segment that answers late ----

    def stop(self, pid):
        """SIGSTOP now; SIGCONT at the latest when the test ends."""
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self.let_go, pid)

    def let_go(self, pid):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def qe(self, content):
        """The one QE on a segment that has done something for a session at rest."""
        pids = wait_until(lambda: self.cluster.query(
            "select pid from pg_stat_activity where pid <> pg_backend_pid() and application_name = 'sluice'"
            " and backend_type = 'client backend'", content=content), "there is a QE")
        self.assertEqual(len(pids), 1)
        return pids[0][0]

    def assert_waits(self, statement):
        statement.join(LATE_S)
        self.assertTrue(statement.is_alive(), f"{statement.error}, {statement.rows}")

    def assert_answers(self, statement):
        statement.end()
        self.assertIsNone(statement.error)
        self.assertEqual(statement.rows, [(ROWS - ROWS // 40,)])

    def assert_timed_out(self, statement):
        statement.end()
        self.assertIsInstance(statement.error, psycopg2.errors.QueryCanceled)
        self.assertIn("statement timeout", str(statement.error))

    def test_a_qe_that_answers_late_is_waited_for(self):
        session = self.session(JOIN)
        pid = self.qe(0)
        self.stop(pid)
        statement = Statement(self.cluster, JOIN, session)
        self.assert_waits(statement)
        self.let_go(pid)
        self.assert_answers(statement)

    def test_a_qe_that_stops_amid_a_query_is_waited_for(self):
        session = self.session(JOIN)
        pid = self.qe(0)
        blocker = self.cluster.connect(content=0)
        self.addCleanup(blocker.close)
        self.run_in(blocker, "begin; lock table big in access exclusive mode")
        statement = Statement(self.cluster, JOIN, session)
        wait_until(lambda: self.cluster.query(
            "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'", pid, content=0),
            "the QE is at work")
        self.stop(pid)
        self.run_in(blocker, "commit")
        blocker.close()
        self.assert_waits(statement)
        self.let_go(pid)
        self.assert_answers(statement)

    def test_a_statement_timeout_does_not_wait_for_a_late_qe(self):
        session = self.session(JOIN, "set statement_timeout = '1s'")
        pid = self.qe(1)
        self.stop(pid)
        self.assert_timed_out(Statement(self.cluster, JOIN, session))
        self.assertNotEqual(self.qe_count(1), 0)
        self.let_go(pid)
        wait_until(lambda: self.qe_count(1) == 0, "it has noticed that its session is gone")

    def qe_count(self, content):
        return self.cluster.value("select count(*) from pg_stat_activity where application_name = 'sluice'",
                                  content=content)

    def test_a_segment_that_lets_in_late_is_waited_for(self):
        session = self.session()
        postmaster = self.cluster.postmaster(1)
        self.stop(postmaster)
        statement = Statement(self.cluster, JOIN, session)
        self.assert_waits(statement)
        self.let_go(postmaster)
        self.assert_answers(statement)

    def test_a_segment_that_lets_nobody_in_ends_the_wait_with_a_clear_error(self):
        postmaster = self.cluster.postmaster(1)
        timed = self.session("set statement_timeout = '1s'")
        patient = self.session("set sluice.segment_connect_timeout = 2")
        self.stop(postmaster)
        self.assert_timed_out(Statement(self.cluster, JOIN, timed))
        statement = Statement(self.cluster, JOIN, patient).end()
        self.assertIn("could not connect to segment 1", str(statement.error))
        self.assertIn("No answer within 2 seconds", str(statement.error))
        self.let_go(postmaster)

    def test_a_statement_timeout_waits_neither_for_a_stopped_postmaster(self):
        session = self.session(JOIN, "set statement_timeout = '1s'")
        pid, postmaster = self.qe(0), self.cluster.postmaster(0)
        self.stop(postmaster)
        self.stop(pid)
        self.assert_timed_out(Statement(self.cluster, JOIN, session))
        self.let_go(pid)
        self.let_go(postmaster)

    # ---- kill -9 of the agent ----

    def assert_whole_or_not_at_all(self, statement):
        self.cluster.start()
        wait_until(lambda: not prepared_transactions(self.cluster), "no prepared transaction stays")
        count = self.cluster.value("select count(*) from sink")
        self.assertIn(count, (0, ROWS) if statement.error else (ROWS,), statement.error)

    def test_loads_during_which_the_agent_is_killed_are_there_whole_or_not_at_all(self):
        for _ in range(KILLS):
            self.cluster.execute("truncate sink")
            statement = Statement(self.cluster, "insert into sink select id, grp from big", self.session(JOIN))
            time.sleep(self.random.random() * 0.1)
            self.cluster.kill(self.cluster.agent())
            statement.end()
            self.assert_whole_or_not_at_all(statement)

    def test_an_agent_killed_while_a_load_waits_fails_it_whole(self):
        self.cluster.execute("truncate sink")
        session = self.session(JOIN)
        blocker = self.cluster.connect(content=1)
        self.addCleanup(blocker.close)
        self.run_in(blocker, "begin; lock table sink in access exclusive mode")
        statement = Statement(self.cluster, "insert into sink select id, grp from big", session)
        wait_until(lambda: self.cluster.query(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock'", content=1), "it has begun")
        self.cluster.kill(self.cluster.agent())
        blocker.close()
        statement.end()
        self.assertIsNotNone(statement.error)
        self.assert_whole_or_not_at_all(statement)
        self.assertEqual(self.cluster.value("select count(*) from sink"), 0)

    def test_a_commit_needs_no_agent(self):
        self.cluster.execute("truncate sink")
        session = self.session("begin", "insert into sink select id, grp from big")
        self.cluster.kill(self.cluster.agent())
        statement = Statement(self.cluster, "commit", session).end()
        self.assertIsNone(statement.error)
        self.assert_whole_or_not_at_all(statement)

    def test_an_agent_killed_between_the_steps_of_a_commit_leaves_nothing_prepared(self):
        self.cluster.execute("truncate sink")
        session = self.session("begin", "insert into sink select id, grp from big")
        pid = self.qe(1)
        self.stop(pid)
        statement = Statement(self.cluster, "commit", session)
        wait_until(lambda: self.cluster.value("select count(*) from pg_prepared_xacts", content=0) == 1,
                   "segment 0 has prepared")
        self.cluster.kill(self.cluster.agent())
        self.assertTrue(statement.is_alive())
        self.let_go(pid)
        statement.end()
        self.assertIsNone(statement.error)
        self.assert_whole_or_not_at_all(statement)

    def test_zz_nothing_is_left_behind(self):
        assert_none(self, self.cluster)


if __name__ == "__main__":
    main()
