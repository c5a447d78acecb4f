/* How fast Hyperscan finds literal phrases, in any case, in a file: one pass, one thread, block mode.
 *
 *   hyperscan PHRASES FILE      prints: bytes, matches, seconds
 *
 * The file is read before the clock starts, which is in Hyperscan's favour. */
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK (1u << 20)

static unsigned long long matches;

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context) {
    (void)id, (void)from, (void)to, (void)flags, (void)context;
    matches++;
    return 0;
}

static char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return perror(path), exit(1), NULL;
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    if (!text || fread(text, 1, *size, file) != *size) return perror(path), exit(1), NULL;
    text[*size] = 0;
    fclose(file);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: hyperscan PHRASES FILE\n"), 2;
    size_t size, length, count = 0, room = 1 << 16;
    char *list = read_all(argv[1], &length);
    const char **phrases = malloc(room * sizeof *phrases);
    size_t *lengths = malloc(room * sizeof *lengths);
    unsigned *flags = malloc(room * sizeof *flags), *ids = malloc(room * sizeof *ids);
    for (char *line = strtok(list, "\n"); line && count < room; line = strtok(NULL, "\n")) {
        phrases[count] = line;
        lengths[count] = strlen(line);
        flags[count] = HS_FLAG_CASELESS;
        ids[count] = (unsigned)count;
        count++;
    }
    hs_database_t *database;
    hs_compile_error_t *error;
    if (hs_compile_lit_multi(phrases, flags, ids, lengths, (unsigned)count, HS_MODE_BLOCK, NULL, &database, &error))
        return fprintf(stderr, "%s\n", error->message), 1;
    hs_scratch_t *scratch = NULL;
    if (hs_alloc_scratch(database, &scratch)) return 1;
    char *text = read_all(argv[2], &size);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (size_t at = 0; at < size; at += BLOCK) {
        unsigned block = size - at < BLOCK ? (unsigned)(size - at) : BLOCK;
        hs_scan(database, text + at, block, 0, scratch, on_match, NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%zu %llu %f\n", size, matches, seconds);
    return 0;
}
