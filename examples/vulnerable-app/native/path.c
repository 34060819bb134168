#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    char line[64];
    char path[64];
    gets(line);
    fgets(line, sizeof line, stdin);
    strcpy(path, argv[1]);
    strcpy(path, "constant");
    printf(line);
    printf("%s", line);
    system(argv[2]);
    /* strcpy(path, line); */
    return argc;
}
