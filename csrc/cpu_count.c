/* cpu_count: how many CPUs this process may use.
 *
 * The machine's CPUs are the wrong answer twice: a batch system pins a job to some of them (affinity), and a container
 * is given a share of their time (cgroup quota). Twenty threads on a quota of two CPUs are throttled, not fast.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
#include <sched.h>

static int cpus_by_affinity(void)
{
    /* The mask of a machine with more CPUs than cpu_set_t holds is refused: ask with larger ones. */
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *mask = CPU_ALLOC(cpus);
        if (mask == NULL) {
            return 0;
        }
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        int count = sched_getaffinity(0, bytes, mask) == 0 ? CPU_COUNT_S(bytes, mask) : 0;
        CPU_FREE(mask);
        if (count > 0) {
            return count;
        }
    }
    return 0;
}

/* The file root/directory/name in text; 0 if it cannot be read. */
static int read_file(const char *root, const char *directory, const char *name, char *text, size_t size)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s%s/%s", root, directory, name) >= (int)sizeof path) {
        return 0;
    }
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    return length > 0;
}

/* CPUs that the group `directory` allows, rounded up; 0 if it sets no limit. */
static int quota_of(const char *root, const char *directory, int version)
{
    char text[128];
    double quota = 0, period = 0;
    if (version == 2) { /* "150000 100000", or "max 100000" */
        if (!read_file(root, directory, "cpu.max", text, sizeof text) ||
            sscanf(text, "%lf %lf", &quota, &period) != 2) {
            return 0;
        }
    } else {
        if (!read_file(root, directory, "cpu.cfs_quota_us", text, sizeof text)) {
            return 0;
        }
        quota = atof(text); /* -1: no limit */
        if (!read_file(root, directory, "cpu.cfs_period_us", text, sizeof text)) {
            return 0;
        }
        period = atof(text);
    }
    if (!(quota > 0 && period > 0)) {
        return 0;
    }
    double cpus = quota / period;
    return cpus >= THREADS_MAX ? THREADS_MAX : (int)cpus + (cpus > (int)cpus);
}

/* The smallest limit among a group and all groups around it; 0 if there is none. A container may see the path its
 * group has on the host, of which only the top exists inside: this walk ends there. */
static int quota_along(const char *root, char *directory, int version)
{
    int smallest = 0;
    for (;;) {
        int cpus = quota_of(root, directory, version);
        if (cpus > 0 && (smallest == 0 || cpus < smallest)) {
            smallest = cpus;
        }
        char *slash = strrchr(directory, '/');
        if (slash == NULL) {
            return smallest;
        }
        *slash = '\0';
    }
}

/* Does the list "cpu,cpuacct" hold "cpu"? */
static int lists_cpu(const char *controllers)
{
    for (const char *name = controllers; name != NULL; name = strchr(name, ',')) {
        name += *name == ',';
        if (strncmp(name, "cpu", 3) == 0 && (name[3] == ',' || name[3] == '\0')) {
            return 1;
        }
    }
    return 0;
}

/* membership is /proc/self/cgroup: lines "0::/path" (version 2) and "4:cpu,cpuacct:/path" (version 1). */
static int cpus_by_quota(const char *membership, const char *mounts)
{
    int smallest = 0;
    char line[4096], root[4096];
    FILE *file = fopen(membership, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *directory = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (directory == NULL) {
            continue;
        }
        *controllers++ = '\0';
        *directory++ = '\0';
        int version = strcmp(line, "0") == 0 && *controllers == '\0' ? 2 : 1;
        if (version == 1 && !lists_cpu(controllers)) {
            continue;
        }
        if (strcmp(directory, "/") == 0) {
            *directory = '\0';
        }
        snprintf(root, sizeof root, "%s%s", mounts, version == 2 ? "" : "/cpu");
        int cpus = quota_along(root, directory, version);
        if (cpus > 0 && (smallest == 0 || cpus < smallest)) {
            smallest = cpus;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return smallest;
}
#endif

int cpu_count(void)
{
    int cpus = 0;
#ifdef __linux__
    cpus = cpus_by_affinity();
#endif
    if (cpus < 1) {
        cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    }
    if (cpus < 1) {
        cpus = 1;
    }
#ifdef __linux__
    int quota = cpus_by_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && quota < cpus) {
        cpus = quota;
    }
#endif
    return cpus;
}
