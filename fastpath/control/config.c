/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config.c - a loaded configuration: which entry an interface has, copies, the end of it.
 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"

bool xe_config_is_glob(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

bool xe_config_denied(const struct xe_config *config, const char *ifname)
{
	for (uint32_t i = 0; i < config->deny_port_cnt; i++)
		if (!fnmatch(config->deny_ports[i], ifname, 0))
			return true;
	return false;
}

const struct xe_config_port *xe_config_port_for(const struct xe_config *config, const char *ifname)
{
	const struct xe_config_port *found = NULL;

	if (xe_config_denied(config, ifname))
		return NULL;
	for (uint32_t i = 0; i < config->port_cnt; i++) {
		const struct xe_config_port *p = &config->ports[i];

		if (!strcmp(p->name, ifname))
			return p;
		if (!found && xe_config_is_glob(p->name) && !fnmatch(p->name, ifname, 0))
			found = p;
	}
	return found;
}

bool xe_config_name_covers(const struct xe_config *config, const char *name, const char *ifname)
{
	const struct xe_config_port *p = xe_config_port_for(config, ifname);

	return p && (!strcmp(name, ifname) || !strcmp(name, p->name));
}

/* NULL stays NULL, and *ok turns false when memory runs out. */
static void *dup_array(const void *from, size_t cnt, size_t elem_size, bool *ok)
{
	void *to;

	if (!from)
		return NULL;
	to = calloc(cnt ? cnt : 1, elem_size);
	if (to)
		memcpy(to, from, cnt * elem_size);
	else
		*ok = false;
	return to;
}

struct xe_config *xe_config_dup(const struct xe_config *config)
{
	bool ok = true;
	struct xe_config *c = dup_array(config, 1, sizeof(*c), &ok);

	if (!c)
		return NULL;
	c->file = dup_array(config->file, config->file ? strlen(config->file) + 1 : 0, 1, &ok);
	c->deny_ports = dup_array(config->deny_ports, config->deny_port_cnt,
				  sizeof(*config->deny_ports), &ok);
	c->rules = dup_array(config->rules, config->rule_cnt, sizeof(*config->rules), &ok);
	c->ports = dup_array(config->ports, config->port_cnt, sizeof(*config->ports), &ok);
	/* Each copied port still points to the original's prefixes: all are replaced, also after a
	 * failure, so that freeing the copy frees nothing of the original. */
	for (uint32_t i = 0; c->ports && i < c->port_cnt; i++)
		c->ports[i].allow = dup_array(config->ports[i].allow, config->ports[i].allow_cnt,
					      sizeof(*config->ports[i].allow), &ok);
	if (ok)
		return c;
	xe_config_free(c);
	return NULL;
}

void xe_config_free(struct xe_config *config)
{
	if (!config)
		return;
	for (uint32_t i = 0; config->ports && i < config->port_cnt; i++)
		free(config->ports[i].allow);
	free(config->ports);
	free(config->deny_ports);
	free(config->rules);
	free(config->file);
	free(config);
}
