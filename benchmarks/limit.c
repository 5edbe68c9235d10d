/* The limit: a chat that does nothing but one send for each member and tick, in C. Prints its port.
 *
 * What is read in one turn of epoll is appended to the room's ring, in a line as long as nbchat's; at the turn's
 * end every member gets what is new in one send. It checks nothing, keeps nothing, and throws out who falls
 * behind by more than a ring: how fast a chat with one thread could be here, not how one should be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define RING (8u << 20)
#define LINE 4096
#define MOST_ROOMS 64
#define MOST_MEMBERS 4096

typedef struct {
    char name[64];
    char *ring;
    uint64_t end, seq; /* bytes and lines since the beginning */
    int members[MOST_MEMBERS], count, is_new;
} Room;

typedef struct {
    int fd, is_full;
    Room *room;
    uint64_t offset;
    char name[64], rest[LINE];
    size_t size_rest;
} Member;

static Room rooms[MOST_ROOMS];
static int room_count, poll;
static Member *members[65536]; /* by file descriptor */

static void append(Room *room, const char *data, size_t size) {
    size_t at = room->end % RING, first = size < RING - at ? size : RING - at;
    memcpy(room->ring + at, data, first);
    memcpy(room->ring, data + first, size - first);
    room->end += size;
    room->is_new = 1;
}

static void drop(Member *member) {
    Room *room = member->room;
    for (int each = 0; room && each < room->count; each++)
        if (room->members[each] == member->fd) room->members[each--] = room->members[--room->count];
    members[member->fd] = NULL;
    close(member->fd);
    free(member);
}

static void watch(Member *member, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (member->is_full ? EPOLLOUT : 0), .data.fd = member->fd};
    epoll_ctl(poll, operation, member->fd, &event);
}

static void flush(Member *member) {
    Room *room = member->room;
    while (member->offset < room->end) {
        if (room->end - member->offset > RING) {
            shutdown(member->fd, SHUT_RDWR);
            return;
        }
        size_t at = member->offset % RING, size = (size_t)(room->end - member->offset);
        size_t first = size < RING - at ? size : RING - at;
        struct iovec parts[2] = {{room->ring + at, first}, {room->ring, size - first}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = size > first ? 2 : 1};
        ssize_t wrote = sendmsg(member->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (wrote < 0) {
            if (errno == EAGAIN && !member->is_full) {
                member->is_full = 1;
                watch(member, EPOLL_CTL_MOD);
            }
            return;
        }
        member->offset += (uint64_t)wrote;
    }
    if (member->is_full) {
        member->is_full = 0;
        watch(member, EPOLL_CTL_MOD);
    }
}

static void enter(Member *member, char *line) {
    char *place = strchr(line, ' ');
    if (place) *place++ = 0;
    else place = "lobby";
    Room *room = rooms;
    while (room < rooms + room_count && strcmp(room->name, place)) room++;
    if (room == rooms + MOST_ROOMS || room->count == MOST_MEMBERS) return;
    if (room == rooms + room_count) {
        room_count++;
        snprintf(room->name, sizeof room->name, "%s", place);
        room->ring = malloc(RING);
    }
    snprintf(member->name, sizeof member->name, "%.60s", line);
    room->members[room->count++] = member->fd;
    member->room = room;
    member->offset = room->end;
    if (send(member->fd, "WELCOME\n", 8, MSG_NOSIGNAL) < 0) shutdown(member->fd, SHUT_RDWR);
}

static void say(Member *member, const char *text) {
    static char line[LINE + 256];
    int size = snprintf(line, sizeof line, "{\"type\":\"said\",\"id\":\"00000000\",\"by\":\"%s\",\"text\":\"%s\","
                        "\"seq\":%lu,\"at\":1790000000000}\n", member->name, text, ++member->room->seq);
    append(member->room, line, (size_t)size);
}

static void receive(Member *member) {
    static char data[1 << 16];
    memcpy(data, member->rest, member->size_rest);
    ssize_t got = recv(member->fd, data + member->size_rest, sizeof data - LINE, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        drop(member);
        return;
    }
    char *place = data, *end = data + member->size_rest + got, *newline;
    while ((newline = memchr(place, '\n', (size_t)(end - place)))) {
        *newline = 0;
        if (member->room) say(member, place);
        else enter(member, place);
        place = newline + 1;
    }
    member->size_rest = (size_t)(end - place) < LINE ? (size_t)(end - place) : 0;
    memcpy(member->rest, place, member->size_rest);
}

static void come(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (fd < 0 || fd >= 65536) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    members[fd] = calloc(1, sizeof(Member));
    members[fd]->fd = fd;
    watch(members[fd], EPOLL_CTL_ADD);
    if (send(fd, "USERNAME", 8, MSG_NOSIGNAL) < 0) shutdown(fd, SHUT_RDWR);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[1024];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0; /* it ends with its input */
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 1024, -1);
        for (int each = 0; each < ready; each++) {
            int fd = events[each].data.fd;
            if (fd == 0) return 0;
            if (fd == listener) come(listener);
            else if (members[fd] && events[each].events & EPOLLOUT) flush(members[fd]);
            if (fd != listener && members[fd] && events[each].events & ~(uint32_t)EPOLLOUT) receive(members[fd]);
        }
        for (Room *room = rooms; room < rooms + room_count; room++)
            if (room->is_new) {
                room->is_new = 0;
                for (int each = 0; each < room->count; each++)
                    if (!members[room->members[each]]->is_full) flush(members[room->members[each]]);
            }
    }
}
