/* Runs a fuzz target without libFuzzer, so that every compiler and every preset tests it: each input of a folder as it
 * is, and then changes of them. The changes follow from a fixed seed: two runs do the same.
 *
 *   fuzz_NAME FOLDER [CHANGES A FILE]      fuzz_NAME FILE */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { INPUT_MAX = 64 << 10, INPUTS_MAX = 1000, CHANGES = 300, GROWTH = 64 };

struct seed {
    uint8_t *data;
    size_t len;
};

static struct seed seeds[INPUTS_MAX];
static size_t n_seeds;
static unsigned long n_runs;

static uint32_t next_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static size_t below(size_t n)
{
    return n ? next_random() % n : 0;
}

/* In memory of exactly that size, as libFuzzer does. */
static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    HOLDS(copy);
    if (len)
        memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    n_runs++;
}

/* room: of data, above len by GROWTH at least. Returns the new length. */
static size_t change(uint8_t *data, size_t len)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '\'', '"', '\\', '{', '[', '%', '-'};
    const struct seed *other = &seeds[below(n_seeds)];
    size_t at = below(len), n = 1 + below(16);
    switch (below(6)) {
    case 0: /* one bit */
        if (len)
            data[at] ^= (uint8_t)(1 << below(8));
        return len;
    case 1: /* one byte that means something somewhere */
        if (len)
            data[at] = telling[below(sizeof telling)];
        return len;
    case 2: /* the end cut off */
        return at;
    case 3: /* some bytes taken out */
        n = n < len - at ? n : len - at;
        memmove(data + at, data + at + n, len - at - n);
        return len - n;
    case 4: /* some bytes twice */
        n = n < len - at ? n : len - at;
        memmove(data + at + n, data + at, len - at);
        return len + n;
    default: /* some bytes of another input */
        n = n < other->len ? n : other->len;
        if (len < n + at)
            return len;
        memcpy(data + at, other->data + below(other->len - n + 1), n);
        return len;
    }
}

static void run_changes(const struct seed *seed, unsigned changes)
{
    uint8_t *data = malloc(seed->len + GROWTH);
    HOLDS(data);
    for (unsigned i = 0; i < changes; i++) {
        size_t len = seed->len;
        memcpy(data, seed->data, len);
        for (size_t k = 1 + below(3); k; k--)
            len = change(data, len);
        run(data, len);
    }
    free(data);
}

static void load(const char *path)
{
    FILE *in = fopen(path, "rbe");
    HOLDS(in && n_seeds < INPUTS_MAX);
    struct seed *seed = &seeds[n_seeds++];
    seed->data = malloc(INPUT_MAX);
    HOLDS(seed->data);
    seed->len = fread(seed->data, 1, INPUT_MAX, in);
    fclose(in);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names, which the file system need not keep. */
static void load_folder(const char *path)
{
    char *names[INPUTS_MAX];
    size_t n = 0;
    DIR *folder = opendir(path);
    HOLDS(folder);
    for (struct dirent *e; (e = readdir(folder));)
        if (e->d_name[0] != '.' && n < INPUTS_MAX && asprintf(&names[n], "%s/%s", path, e->d_name) > 0)
            n++;
    closedir(folder);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        load(names[i]);
        free(names[i]);
    }
}

int main(int argc, char **argv)
{
    struct stat st;
    if (argc < 2 || stat(argv[1], &st) != 0) {
        fprintf(stderr, "usage: %s FOLDER [CHANGES A FILE]\n", argv[0]);
        return 2;
    }
    unsigned changes = argc > 2 ? (unsigned)atoi(argv[2]) : S_ISDIR(st.st_mode) ? CHANGES : 0;
    LLVMFuzzerInitialize(&argc, &argv);
    if (S_ISDIR(st.st_mode))
        load_folder(argv[1]);
    else
        load(argv[1]);
    if (!n_seeds) {
        fprintf(stderr, "%s holds no inputs\n", argv[1]);
        return 1;
    }
    run(NULL, 0);
    for (size_t i = 0; i < n_seeds; i++)
        run(seeds[i].data, seeds[i].len);
    for (size_t i = 0; i < n_seeds; i++)
        run_changes(&seeds[i], changes);
    printf("%zu inputs, %lu runs\n", n_seeds, n_runs);
    for (size_t i = 0; i < n_seeds; i++)
        free(seeds[i].data);
    return 0;
}
