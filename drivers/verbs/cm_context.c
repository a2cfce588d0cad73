/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cm_context.c - the contexts that librdmacm (44) opens: one per device and
 * process, kept until the process ends. A kernel driver that cannot take a device
 * from its users (soft-RoCE, siw) waits with the removal until all contexts are
 * closed, so one that nobody uses any more would hold it for ever.
 *
 * librdmacm has no call to close it. What we do instead: put /dev/null in the
 * place of its two descriptors, which are public fields of struct ibv_context.
 * That closes the kernel's side at once. librdmacm itself closes what is left,
 * harmlessly, when it next sees that the device is no longer listed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/verbs/verbs.h"

struct cm_context {
	LIST_ENTRY(cm_context) link;
	struct ibv_context *verbs;
	int cmd_fd, async_fd;
	dev_t uverbs; /* what cmd_fd is */
	uint32_t rails;
};

/* All pollers share librdmacm's contexts, so this is of the process too. */
static pthread_mutex_t contexts_mutex = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, cm_context) contexts = LIST_HEAD_INITIALIZER(contexts);

static struct cm_context *context_find(const struct ibv_context *verbs)
{
	struct cm_context *context;

	LIST_FOREACH (context, &contexts, link) {
		if (context->verbs == verbs)
			return context;
	}
	return NULL;
}

static struct cm_context *context_add(struct ibv_context *verbs)
{
	struct cm_context *context = calloc(1, sizeof *context);
	struct stat status;

	if (!context)
		return NULL;
	context->verbs = verbs;
	context->cmd_fd = verbs->cmd_fd;
	context->async_fd = verbs->async_fd;
	context->uverbs = fstat(verbs->cmd_fd, &status) == 0 ? status.st_rdev : 0;
	LIST_INSERT_HEAD(&contexts, context, link);
	return context;
}

int verbs_cm_context_hold(struct ibv_context *verbs)
{
	struct cm_context *context;

	pthread_mutex_lock(&contexts_mutex);
	context = context_find(verbs);
	if (!context)
		context = context_add(verbs);
	if (context)
		context->rails++;
	pthread_mutex_unlock(&contexts_mutex);
	return context ? 0 : -ENOMEM;
}

/* librdmacm may have closed it itself meanwhile, and freed what verbs points to:
 * look at the descriptor alone. */
static void context_close(const struct cm_context *context)
{
	struct stat status;
	int inert;

	if (context->uverbs == 0 || fstat(context->cmd_fd, &status) < 0 ||
	    status.st_rdev != context->uverbs)
		return;
	inert = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (inert < 0)
		return;
	dup3(inert, context->cmd_fd, O_CLOEXEC);
	dup3(inert, context->async_fd, O_CLOEXEC);
	close(inert);
}

void verbs_cm_context_drop(struct ibv_context *verbs, bool removed)
{
	struct cm_context *context;

	pthread_mutex_lock(&contexts_mutex);
	context = context_find(verbs);
	if (context && --context->rails == 0) {
		if (removed)
			context_close(context);
		LIST_REMOVE(context, link);
		free(context);
	}
	pthread_mutex_unlock(&contexts_mutex);
}
