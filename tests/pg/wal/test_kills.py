#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kills at random points of a load with synchronous commits: servers, WAL senders and
receivers, agents, the cable between two agents. After each, no acknowledged commit is
missing on the standby, promoted or not. Prints how long each took to recover.

    test_kills.py --over tcp --kills 300 --seed 7
"""
import os
import random
import shutil
import signal
import statistics
import sys
import threading
import time

from cables import Cable
from load import Load, missing
from walcase import Skip, WalCase, checksums, main, psycopg2, start_agents, wait_until

CLIENTS = 4
RECOVER_S = 90
KILLS = 10
SEED = int.from_bytes(os.urandom(4), "little")


class Kills(WalCase):
    agent_settings = {"agent": {"peer_timeout": "2s", "keepalive": "200ms"}}

    @classmethod
    def prepare(cls):
        cls.agents, cls.cable = [], None
        options = {"settings": cls.agent_settings}
        if cls.over == "tcp":
            try:
                cls.cable = Cable(cls.workspace)
                options.update(hosts=cls.cable.hosts, prefixes=cls.cable.prefixes)
            except Skip as skip:
                print(f"(no cable to cut: {skip})", file=sys.stderr)
        if cls.over != "stock":
            cls.agents = start_agents(cls.workspace, cls.tree.build,
                                      count=1 if cls.over == "local" else 2, **options)
        cls.primary = cls.make_primary("one", wal_sender_timeout="5s", wal_receiver_timeout="5s",
                                       max_wal_size="256MB")
        cls.standby = cls.make_standby(cls.primary, "two")
        for server in (cls.primary, cls.standby):
            server.configure(synchronous_standby_names="*").reload()

    # ---- what is killed; each returns when it is up again, but for streaming ---------

    def kill_standby(self):
        self.standby.kill()
        self.pause(0.2)
        self.standby.start()

    def kill_primary(self):
        self.primary.kill()
        self.check_alone(self.load.snapshot())
        self.primary.start()

    def kill_primary_and_promote(self):
        """The standby takes over; the old primary follows it."""
        old, new = self.primary, self.standby
        old.kill()
        snapshot = self.load.snapshot()
        new.promote()
        self.assert_nothing_missing(new, snapshot)
        self.load.target = new
        self.rejoin(old, new)
        type(self).primary, type(self).standby = new, old

    def kill_both(self):
        """The standby has all acknowledged commits in its own log: nobody can send them again."""
        self.primary.kill()
        self.standby.kill()
        snapshot = self.load.snapshot()
        self.standby.start()
        self.check_alone(snapshot)
        self.primary.start()

    def stop_primary_at_once(self):
        self.primary.stop("immediate")
        self.primary.start()

    def restart_primary_in_order(self):
        self.primary.restart("fast")

    def kill_walsender(self):
        self.signal_one(self.primary, "walsender")

    def kill_walreceiver(self):
        self.signal_one(self.standby, "walreceiver")

    def signal_one(self, server, kind):
        number = self.random.choice((signal.SIGKILL, signal.SIGTERM))
        server.signal(kind, number)

    def kill_agent(self):
        agent = self.random.choice(self.agents)
        agent.kill()
        self.pause(0.5)
        agent.start()

    def cut_cable(self):
        self.cable.cut()
        self.pause(4)
        self.cable.join()

    def rejoin(self, old, new):
        settings = {name: value for name, value in old.settings.items()
                    if not name.startswith("primary_")}
        if self.random.random() < 0.5:
            new.execute("checkpoint")  # PostgreSQL 15's pg_rewind takes the timeline from there
            self.tree.run("pg_rewind", "--target-pgdata", old.data, "--source-server",
                          new.conninfo("pg_rewind") + " dbname=postgres")
            old.configure(**settings)
        else:
            shutil.rmtree(old.data)
            old.basebackup(new, **settings)
        old.follow(new).start()

    # ---- what must be so -------------------------------------------------------------

    def pause(self, most_s):
        """For how long what is dead stays dead: part of the random point of time."""
        threading.Event().wait(self.random.uniform(0, most_s))

    def check_alone(self, snapshot):
        """What the standby has got is enough, whatever becomes of the primary."""
        self.assert_nothing_missing(self.standby, snapshot)

    def assert_nothing_missing(self, server, snapshot):
        def all_there():
            try:
                left[:] = missing(server, snapshot)
            except psycopg2.OperationalError:
                return False  # it restarts
            return not left
        left = [None]
        try:
            wait_until(all_there, f"{server.name} has all acknowledged commits", RECOVER_S, pause_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{len(left)} acknowledged commits are missing on {server.name}: "
                                 f"{left[:5]}; seed {SEED}") from error

    def commits_again(self, since):
        self.load.total()
        return all(when > since for when in self.load.last_ack)

    def victims(self):
        kinds = [self.kill_standby, self.kill_primary, self.kill_primary_and_promote, self.kill_both,
                 self.stop_primary_at_once, self.restart_primary_in_order, self.kill_walsender,
                 self.kill_walreceiver]
        if self.agents:
            kinds += [self.kill_agent, self.kill_agent]
        if self.cable:
            kinds += [self.cut_cable, self.cut_cable]
        # Each kind comes about as often, in a random order.
        order = []
        while len(order) < KILLS:
            self.random.shuffle(kinds)
            order += kinds
        return order[:KILLS]

    def test_no_acknowledged_commit_is_missing_after_a_kill(self):
        self.random = random.Random(SEED)
        self.load = Load(self.primary, CLIENTS)
        times = {}
        for number, victim in enumerate(self.victims(), 1):
            before = self.load.total()
            wait_until(lambda before=before: self.load.total() >= before + 20, "clients commit", RECOVER_S)
            self.pause(0.3)
            began = time.monotonic()
            victim()
            snapshot = self.load.snapshot()
            self.assert_nothing_missing(self.standby, snapshot)
            wait_until(lambda: self.commits_again(began),
                       f"all clients commit again after {victim.__name__}, seed {SEED}", RECOVER_S)
            took = max(self.load.last_ack) and time.monotonic() - began
            times.setdefault(victim.__name__, []).append(took)
            print(f"{number:4} {victim.__name__:<26} recovered in {took:6.2f} s, "
                  f"{self.load.total()} commits acknowledged", file=sys.stderr, flush=True)
        self.load.end()
        self.finish(times)

    def finish(self, times):
        self.assert_nothing_missing(self.standby, self.load.snapshot())
        wait_until(lambda: self.on_sluice(), "the stream is back on Sluice", RECOVER_S, pause_s=0.2)
        self.assert_same_data(self.primary, self.standby)
        per_client = self.primary.query("select n = count from counters join (select client, count(*)"
                                        " from acked group by 1) a using (client)")
        self.assertEqual(per_client, [(True,)] * CLIENTS)
        self.assertEqual(checksums(self.primary), checksums(self.standby))
        self.primary.stop()
        self.standby.stop()
        self.assert_wal_clean(self.primary, self.standby)
        for name, values in sorted(times.items()):
            print(f"recovery {name:<26} n {len(values):3} median {statistics.median(values):6.2f} s "
                  f"max {max(values):6.2f} s", file=sys.stderr)

    def on_sluice(self):
        try:
            self.assert_over_sluice(self.primary, self.standby.name)
            return True
        except (AssertionError, psycopg2.OperationalError):  # the last kill may have it restart
            return False


def take(arguments, name, default):
    if name not in arguments:
        return default
    at = arguments.index(name)
    value = int(arguments[at + 1])
    del arguments[at:at + 2]
    return value


if __name__ == "__main__":
    SEED = take(sys.argv, "--seed", SEED)
    KILLS = take(sys.argv, "--kills", KILLS)
    print(f"seed {SEED}, replay with --seed {SEED} --kills {KILLS}", file=sys.stderr, flush=True)
    main()
