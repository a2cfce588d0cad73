/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - see run.h. */
#include "cluster/run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64

int run_become_user(const struct cluster *cluster)
{
	const struct passwd *entry;

	if (geteuid() != 0)
		return 0;
	entry = getpwnam(cluster->user);
	if (!entry) {
		fprintf(stderr, "sluice: there is no user '%s' here\n", cluster->user);
		return -1;
	}
	if (initgroups(entry->pw_name, entry->pw_gid) < 0 || setgid(entry->pw_gid) < 0 ||
	    setuid(entry->pw_uid) < 0) {
		fprintf(stderr, "sluice: cannot become user '%s': %s\n", cluster->user,
		        strerror(errno));
		return -1;
	}
	setenv("HOME", entry->pw_dir, 1);
	setenv("USER", entry->pw_name, 1);
	setenv("LOGNAME", entry->pw_name, 1);
	return 0;
}

/* A word that a POSIX shell reads as it is. */
static void quote(FILE *out, const char *word)
{
	fputc('\'', out);
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	fputc('\'', out);
}

static char *quoted_command(const char *const argv[])
{
	char *command = NULL;
	size_t length;
	FILE *out = open_memstream(&command, &length);

	for (size_t i = 0; out && argv[i]; i++) {
		if (i)
			fputc(' ', out);
		quote(out, argv[i]);
	}
	if (!out || fclose(out) != 0) {
		fputs("sluice: out of memory\n", stderr);
		exit(1);
	}
	return command;
}

static void exec_by_ssh(const struct cluster *cluster, const struct cluster_host *host,
                        const char *const argv[])
{
	char *command = quoted_command(argv), *ssh = cluster_text("%s", cluster->ssh), *rest = ssh;
	const char *words[ARGUMENTS_MAX];
	size_t count = 0;

	for (char *word; (word = strsep(&rest, " ")) && count < ARGUMENTS_MAX - 3;)
		if (word[0])
			words[count++] = word;
	words[count++] = host->target;
	words[count++] = command;
	words[count] = NULL;
	execvp(words[0], (char *const *)words);
	fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
}

/* A file without a name that no other program gets: servers would hold it as long as they run. */
static FILE *own_file(void)
{
	FILE *file = tmpfile();

	if (file)
		fcntl(fileno(file), F_SETFD, FD_CLOEXEC);
	return file;
}

static FILE *input_file(const char *input)
{
	FILE *file = own_file();

	if (!file || (input && fputs(input, file) < 0) || fflush(file) != 0) {
		if (file)
			fclose(file);
		return NULL;
	}
	rewind(file);
	return file;
}

static void become(int fd, int standard_fd)
{
	if (fd == standard_fd) /* this program was started without it */
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, standard_fd);
}

int run_start(const struct cluster *cluster, const struct cluster_host *host, const char *what,
              const char *const argv[], const char *input, struct run_job *ret_job)
{
	FILE *in = input_file(input), *output = own_file();
	pid_t pid = in && output ? fork() : -1;

	if (pid < 0) {
		fprintf(stderr, "sluice: %s: %s\n", what, strerror(errno));
		if (in)
			fclose(in);
		if (output)
			fclose(output);
		return -1;
	}
	if (pid == 0) {
		become(fileno(in), STDIN_FILENO);
		become(fileno(output), STDOUT_FILENO);
		become(fileno(output), STDERR_FILENO);
		if (!cluster_is_local(host)) {
			exec_by_ssh(cluster, host, argv);
		} else if (run_become_user(cluster) == 0) {
			if (chdir("/") < 0)
				perror("/");
			execvp(argv[0], (char *const *)argv);
			fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		}
		_exit(127);
	}
	fclose(in);
	*ret_job = (struct run_job){.pid = pid, .output = output, .what = cluster_text("%s", what)};
	return 0;
}

static char *whole_file(FILE *file)
{
	char *text = NULL, chunk[4096];
	size_t length, got;
	FILE *out = open_memstream(&text, &length);

	rewind(file);
	while (out && (got = fread(chunk, 1, sizeof(chunk), file)) > 0)
		fwrite(chunk, 1, got, out);
	if (!out || fclose(out) != 0) {
		fputs("sluice: out of memory\n", stderr);
		exit(1);
	}
	return text;
}

int run_finish(struct run_job *job, char **ret_output)
{
	int wait_status, status;
	char *output;

	while (waitpid(job->pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
	output = whole_file(job->output);
	if (ret_output) {
		*ret_output = output;
	} else {
		if (status != 0)
			fprintf(stderr, "sluice: %s failed (status %d):\n%s", job->what, status,
			        output);
		free(output);
	}
	fclose(job->output);
	free(job->what);
	return status;
}

int run(const struct cluster *cluster, const struct cluster_host *host, const char *what,
        const char *const argv[], const char *input, char **ret_output)
{
	struct run_job job;

	if (run_start(cluster, host, what, argv, input, &job) < 0)
		return 127;
	return run_finish(&job, ret_output);
}

int run_script(const struct cluster *cluster, const struct cluster_host *host, const char *what,
               const char *script, const char *const words[], char **ret_output)
{
	const char *argv[ARGUMENTS_MAX] = {"/bin/sh", "-c", script, "sluice"};
	size_t count = 4;

	while (*words && count < ARGUMENTS_MAX - 1)
		argv[count++] = *words++;
	argv[count] = NULL;
	return run(cluster, host, what, argv, NULL, ret_output);
}

int run_write_file(const struct cluster *cluster, const struct cluster_host *host, const char *path,
                   const char *mode, const char *content)
{
	char *what = cluster_text("writing %s", path);
	const char *const argv[] = {"/bin/sh",
	                            "-c",
	                            "umask 077 && cat >\"$1.new\" && chmod \"$2\" \"$1.new\" && "
	                            "mv \"$1.new\" \"$1\"",
	                            "sluice",
	                            path,
	                            mode,
	                            NULL};
	int status = run(cluster, host, what, argv, content, NULL);

	free(what);
	return status == 0 ? 0 : -1;
}

char *run_program_beside(const char *const places[])
{
	char program[PATH_MAX], *slash;
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (length <= 0)
		return NULL;
	program[length] = '\0';
	slash = strrchr(program, '/');
	for (; slash && *places; places++) {
		char *path = cluster_text("%.*s/%s", (int)(slash - program), program, *places);
		char *real = realpath(path, NULL);

		free(path);
		if (real && access(real, X_OK) == 0)
			return real;
		free(real);
	}
	return NULL;
}
