#include "proxy.h"

int main(int argc, char **argv) {
    static struct options options;

    options_read(&options, argc, argv);
    return proxy_run(&options);
}
