/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice_perf.c - the program sluice-perf: reads its options, makes one run and
 * reports it. Exit status: 0 fine; 1 the run failed or rows went wrong; 2 the
 * command line is wrong.
 */
#include "bench/options.h"
#include "bench/plot.h"
#include "bench/report.h"
#include "bench/run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static void on_signal(int signal_number)
{
	bench_run_interrupt();
}

static void handle_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int report(struct bench_run *run, const struct bench_result *result, char *error)
{
	struct bench_machine machine;
	struct bench_report report = {run->options, run, result, &machine};
	int rc;

	bench_machine_read(&machine);
	rc = bench_report_write(&report, stdout);
	if (rc) {
		snprintf(error, BENCH_ERROR_BYTES, "cannot write the report: %s", strerror(-rc));
		return rc;
	}
	return run->options->plot_path ? bench_plot_write(&report, error) : 0;
}

int main(int argc, char **argv)
{
	char error[BENCH_ERROR_BYTES] = "";
	struct bench_options options;
	struct bench_result result = {0};
	struct bench_run run;
	int rc = bench_options_parse(argc, argv, stdout, &options, error);

	if (rc == 1)
		return 0;
	if (rc) {
		fprintf(stderr, "sluice-perf: %s\n", error);
		return 2;
	}
	if (options.plot_path && bench_run_is_idle(&options)) {
		fprintf(stderr, "sluice-perf: there is nothing to --plot of an idle run\n");
		return 2;
	}
	handle_signals();
	rc = bench_run_begin(&options, &run, error);
	if (rc == 0)
		rc = bench_run_measure(&run, &result, error);
	if (rc == 0)
		rc = report(&run, &result, error);
	if (rc)
		fprintf(stderr, "sluice-perf: %s\n", error);
	bench_run_end(&run);
	bench_result_free(&result);
	if (rc == 0 && result.error_count)
		fprintf(stderr, "sluice-perf: rows went wrong, see errors\n");
	return rc || result.error_count ? 1 : 0;
}
