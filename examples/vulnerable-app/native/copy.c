/* Copies names about, badly on purpose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void greet(const char *name) {
    char line[16];
    strcpy(line, name);
    printf(name);
}

void ask(char *line, size_t size) {
    gets(line);
    /* Near miss: the bounded one. */
    fgets(line, (int)size, stdin);
}

int show(const char *file) {
    char command[64];
    sprintf(command, "cat %s", file);
    return system(command);
}
