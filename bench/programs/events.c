/* Reads a YAML file with libyaml and counts its events: what no reader of events can be faster than. */

#include <stdio.h>
#include <yaml.h>

int main(int count, char **arguments)
{
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    yaml_parser_t parser;
    yaml_event_t event;
    size_t events = 0;
    int more = 1;

    if (file == NULL || !yaml_parser_initialize(&parser)) {
        return 1;
    }
    yaml_parser_set_input_file(&parser, file);
    while (more) {
        if (!yaml_parser_parse(&parser, &event)) {
            return 1;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        events++;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    printf("%zu\n", events);
    return 0;
}
